"""Who calls us from a terminal: one file a noun, each command a few lines around a method of `Room`."""
