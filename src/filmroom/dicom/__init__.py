"""Bytes <-> facts: reading, writing and decoding DICOM. The home of pydicom."""
