"""Synthetic CT images of a real size: 512 x 512, 16 bit, with the header of a CT that pydicom ships."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

PER_SERIES = 100


def write_series(folder: Path, count: int) -> int:
    """Write `count` images of about 0.5 MB, ten series a patient; return their bytes."""
    source = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    source.decompress() if source.file_meta.TransferSyntaxUID.is_compressed else None
    source.Rows = source.Columns = 512
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:512, 0:512]
    body = (900 * np.exp(-((x - 256) ** 2 + (y - 256) ** 2) / 40_000)).astype(np.int16)
    size = 0
    for number in range(count):
        series, image = divmod(number, PER_SERIES)
        source.PatientID = f"BENCH{series // 10:05d}"
        source.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(series // 10)])
        source.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(series)])
        source.SOPInstanceUID = generate_uid(entropy_srcs=["image", str(number)])
        source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
        source.InstanceNumber = image + 1
        source.ImagePositionPatient = [0, 0, image]
        noise = rng.integers(-20, 20, body.shape, dtype=np.int16)
        source.PixelData = (body + noise + image).astype("<i2").tobytes()
        stream = BytesIO()
        source.save_as(stream, enforce_file_format=True)
        (folder / f"{number:06d}.dcm").write_bytes(stream.getvalue())
        size += stream.tell()
    return size
