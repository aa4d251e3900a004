"""The DICOM network door: storage, storage commitment, query and retrieve over DIMSE. Home of pynetdicom."""
