"""Samples of a shardset, in a reproducible order, through a lease. It needs the base install and a `KeyRelease`, no room."""
