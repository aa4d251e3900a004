"""The only code that a training node needs: samples of a shardset, in a reproducible order, through a lease."""
