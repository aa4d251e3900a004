"""Samples to Zarr v3 shards and back: `layout` and `index` are the formats, `write` and `read` the two directions."""
