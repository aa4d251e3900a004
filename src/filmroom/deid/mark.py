"""Says in a copy that it can show a face."""

from io import BytesIO

import pydicom
from pydicom.tag import Tag

from filmroom.deid import faces
from filmroom.deid.profile import Profile
from filmroom.dicom import encode, walk


def mark(data: bytes, sign: faces.Sign, profile: Profile) -> bytes:
    """Return the copy `data` with Recognizable Visual Features as YES where a face is told, without a NO where one is possible.

    A copy that cannot be read comes back as it was: the verifier cannot look either.
    """
    try:
        dataset = pydicom.dcmread(BytesIO(data))
        if sign.code != faces.POSSIBLE:
            if dataset.get(faces.STATED) != "NO":
                return data
            del dataset[faces.STATED]
        elif Tag(faces.STATED) in profile.rules[str(dataset.SOPClassUID)]:
            dataset.RecognizableVisualFeatures = "YES"
        return encode.encode(dataset)
    except walk.FAILURES:
        return data
