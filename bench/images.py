"""Synthetic images of a real size: CT slices of 512 x 512, 16 bit, with the header of a CT that pydicom ships, and frames of MR."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, generate_uid

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


def write_multiframe(path: Path, count: int) -> None:
    """Write an enhanced MR image of `count` frames of 64 x 64, with about 1.1 KB of functional groups for each."""
    source = pydicom.dcmread(str(get_testdata_file("MR_small.dcm", download=False)))
    source.SOPClassUID = source.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.4.1")
    source.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    source.Rows = source.Columns = 64
    source.NumberOfFrames = count
    source.SharedFunctionalGroupsSequence = Sequence([_item(MRModifierSequence=[_item(InversionRecovery="NO")])])
    source.PerFrameFunctionalGroupsSequence = Sequence([_frame(source, number) for number in range(count)])
    rng = np.random.default_rng(7)
    source.PixelData = rng.integers(0, 4000, (count, 64, 64), dtype=np.int16).astype("<i2").tobytes()
    source.save_as(path, enforce_file_format=True)


def _frame(source: Dataset, number: int) -> Dataset:
    time = f"20040826{10 + number // 60:02}{number % 60:02}30.250000"
    unit = _item(CodeValue="1", CodingSchemeDesignator="UCUM", CodeMeaning="no units")
    purpose = _item(CodeValue="121322", CodingSchemeDesignator="DCM", CodeMeaning="Source image for image processing")
    image = _item(
        ReferencedSOPClassUID=source.SOPClassUID,
        ReferencedSOPInstanceUID=generate_uid(entropy_srcs=["frame", str(number // 10)]),
        PurposeOfReferenceCodeSequence=[purpose],
    )
    return _item(
        DerivationImageSequence=[_item(SourceImageSequence=[image])],
        FrameContentSequence=[
            _item(
                FrameAcquisitionDateTime=time,
                FrameReferenceDateTime=time,
                FrameAcquisitionDuration=2.5,
                FrameAcquisitionNumber=number + 1,
                DimensionIndexValues=[1, number % 40 + 1, number // 40 + 1],
                StackID="1",
                InStackPositionNumber=number % 40 + 1,
                TemporalPositionIndex=number // 40 + 1,
            )
        ],
        PlanePositionSequence=[_item(ImagePositionPatient=["-110.5", "-98.25", f"{number % 40 * 3.3:.4f}"])],
        PlaneOrientationSequence=[_item(ImageOrientationPatient=["1", "0", "0", "0", "0.9986", "-0.0523"])],
        PixelMeasuresSequence=[
            _item(PixelSpacing=["3.4375", "3.4375"], SliceThickness="3.0", SpacingBetweenSlices="3.3")
        ],
        FrameVOILUTSequence=[_item(WindowCenter=f"{600 + number % 40}", WindowWidth="1200")],
        PixelValueTransformationSequence=[_item(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")],
        RealWorldValueMappingSequence=[
            _item(
                RealWorldValueFirstValueMapped=0,
                RealWorldValueLastValueMapped=4095,
                RealWorldValueIntercept=0.0,
                RealWorldValueSlope=1.0,
                LUTLabel="US",
                MeasurementUnitsCodeSequence=[unit],
            )
        ],
        MRImageFrameTypeSequence=[
            _item(
                FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"],
                PixelPresentation="MONOCHROME",
                VolumetricProperties="VOLUME",
                VolumeBasedCalculationTechnique="NONE",
                ComplexImageComponent="MAGNITUDE",
                AcquisitionContrast="T2",
            )
        ],
        MREchoSequence=[_item(EffectiveEchoTime=30.0)],
        MRAveragesSequence=[_item(NumberOfAverages="1")],
        MRTimingAndRelatedParametersSequence=[
            _item(
                RepetitionTime="2500",
                FlipAngle="90",
                EchoTrainLength="1",
                RFEchoTrainLength=0,
                GradientEchoTrainLength=64,
            )
        ],
        MRFOVGeometrySequence=[
            _item(
                InPlanePhaseEncodingDirection="COLUMN",
                MRAcquisitionFrequencyEncodingSteps=64,
                MRAcquisitionPhaseEncodingStepsInPlane=64,
                PercentSampling="100",
                PercentPhaseFieldOfView="100",
            )
        ],
    )


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, Sequence(value) if keyword.endswith("Sequence") and isinstance(value, list) else value)
    return item
