"""RT structure sets: each contour is where a ROI lies, in patient coordinates. Source: PS3.3 A.19.3, C.8.8.5-C.8.8.8.

A ROI without a code is called by its name where that is one word, as AAPM TG-263 wants it.
"""

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from filmroom.dicom import regions, values
from filmroom.dicom.codes import images, items, meaning, moment, short, text
from filmroom.errors import Invalid
from filmroom.records import PRESENT, LabelKind, Level, Shape, Space, Statement, Unmatched

_SHAPES = {
    "POINT": Shape.POINT,
    "OPEN_PLANAR": Shape.LINE,
    "OPEN_NONPLANAR": Shape.LINE,
    "CLOSED_PLANAR": Shape.CONTOUR,
}
_CODE = "RTROIIdentificationCodeSequence"


def statements(dataset: Dataset) -> Iterator[Statement | Unmatched]:
    rois = {str(each.ROINumber): each for each in items(dataset, "StructureSetROISequence")}
    observations = {str(each.ReferencedROINumber): each for each in items(dataset, "RTROIObservationsSequence")}
    series = _series(dataset)
    for drawn in items(dataset, "ROIContourSequence"):
        number = str(drawn.ReferencedROINumber)
        observation = observations.get(number, Dataset())
        for count, contour in enumerate(items(drawn, "ContourSequence"), start=1):
            place = f"ROI {number}, contour {count}"
            if number in rois:
                mark = f"{short(str(dataset.SOPInstanceUID))}:{number}:{count}"
                yield _statement(dataset, rois[number], observation, contour, place, mark, series)
            else:
                yield Unmatched(place, "finding-missing")


def _statement(
    dataset: Dataset,
    roi: Dataset,
    observation: Dataset,
    contour: Dataset,
    place: str,
    mark: str,
    series: Sequence[str],
) -> Statement | Unmatched:
    sources = list(images(contour, "ContourImageSequence"))
    if len(sources) == 1:
        level, (target, frame) = Level.INSTANCE, sources[0]
    elif len(series) == 1:
        level, target, frame = Level.SERIES, series[0], None
    else:
        return Unmatched(place, "no-source-image")
    try:
        shape = _SHAPES[str(contour.ContourGeometricType)]
        numbers = map(float, contour.ContourData or ())
        region = regions.region(shape, numbers, mark=mark, space=Space.PATIENT, frame=frame)
    except (Invalid, KeyError):
        return Unmatched(place, "geometry-wrong")
    return Statement(
        place=place,
        level=level,
        target=target,
        finding=values.code(observation, _CODE) or text(roi, "ROIName") or "",
        meaning=meaning(observation, _CODE),
        value=PRESENT,
        kind=LabelKind.MODEL if text(roi, "ROIGenerationAlgorithm") == "AUTOMATIC" else None,
        by=text(observation, "ROIInterpreter"),
        region=region,
        said_at=moment(dataset, "StructureSetDate", "StructureSetTime"),
    )


def _series(dataset: Dataset) -> list[str]:
    """Return the series that the structure set refers to."""
    return [
        str(series.SeriesInstanceUID)
        for frame in items(dataset, "ReferencedFrameOfReferenceSequence")
        for study in items(frame, "RTReferencedStudySequence")
        for series in items(study, "RTReferencedSeriesSequence")
    ]
