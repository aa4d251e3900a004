"""Sealing, deriving, signing and hashing: pure functions over bytes and keys. Nothing here keeps a key or does I/O."""
