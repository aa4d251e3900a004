"""From a data set to the bytes of a Part 10 file, the same bytes for the same data set every time.

The preamble is zero and the file meta group is made anew (PS3.10 7.1), so that nothing of a received header, such as
the sender's AE titles, private information or a hidden program, travels along.
"""

import copy
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from filmroom.dicom.walk import EXPLICIT_BIG, EXPLICIT_LITTLE, FAILURES, IMPLICIT_LITTLE, meta_text
from filmroom.errors import Unreadable

IMPLEMENTATION_UID = "2.25.307801955737033587610520228310094570730"
IMPLEMENTATION_VERSION = "FILMROOM_1"

_BY_ENCODING: dict[tuple[bool | None, bool | None], str] = {
    (True, True): IMPLICIT_LITTLE,
    (False, True): EXPLICIT_LITTLE,
    (False, False): EXPLICIT_BIG,
}


def encode(dataset: Dataset) -> bytes:
    """Write a Part 10 file in the data set's own transfer syntax, without changing the data set.

    Where there is no file meta group, the encoding that the data set was read with decides, then explicit VR little
    endian. Raises Unreadable when it cannot be written, and names no value.
    """
    try:
        fresh = copy.copy(dataset)
        fresh.file_meta = _file_meta(dataset)
        fresh.preamble = bytes(128)
        out = BytesIO()
        pydicom.dcmwrite(out, fresh, enforce_file_format=True)
    except FAILURES as error:
        # pydicom quotes values in its messages, and a chained exception would carry them into a log
        raise Unreadable(
            f"the data set cannot be written ({type(error).__name__})", "look at its findings: a value is broken"
        ) from None
    return out.getvalue()


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    received = getattr(dataset, "file_meta", None)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(str(dataset.SOPClassUID))
    meta.MediaStorageSOPInstanceUID = UID(str(dataset.SOPInstanceUID))
    syntax = meta_text(received, 0x00020010) or _BY_ENCODING.get(dataset.original_encoding, EXPLICIT_LITTLE)
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    return meta
