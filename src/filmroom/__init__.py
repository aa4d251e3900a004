"""filmroom: the governed road from a hospital's image archive to the training loop."""

__version__ = "0.1.0"
