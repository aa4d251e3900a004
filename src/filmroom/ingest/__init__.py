"""The front door: what is let in, and why not."""
