"""From a frame to a picture that a browser shows: rescale, window, invert, shrink, encode. PS3.18 10.4.1.2, PS3.3 C.11.

For looking, not for reading findings: no presentation state, no VOI table, no colour management.
"""

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from filmroom.dicom.transfer import single_frame
from filmroom.dicom.walk import FAILURES
from filmroom.errors import Invalid, Unreadable

PNG, JPEG = "image/png", "image/jpeg"
MAX_SIDE = 32_768

_FUNCTIONS = ("linear", "linear-exact", "sigmoid")


def picture(
    dataset: Dataset,
    number: int,
    media: str,
    *,
    window: str = "",
    size: tuple[int, int] | None = None,
    quality: int = 90,
) -> bytes:
    """Return one frame as PNG or JPEG, 8 bits, grey or RGB.

    `window` is `center,width,function` (PS3.18 8.3.5.1.4), "" for the object's own, or the range of its values where it has
    none. `size` is the largest width and height in pixels, keeping the aspect; nothing is enlarged. Raises Invalid for a
    window that is none, NotFound for a frame that is not there, Unreadable for one that cannot be decoded.
    """
    chosen = _parse_window(window) if window else None
    frame = np.asarray(single_frame(dataset, number))
    grey = frame.astype(np.uint8) if frame.ndim == 3 else _windowed(frame, dataset, chosen)
    if max(grey.shape[:2]) > MAX_SIDE:
        raise Unreadable("the frame is too large for a picture", "retrieve the frame itself")
    small = np.ascontiguousarray(_shrunk(grey, size) if size else grey)  # the planes of a colour may lie apart
    if media == PNG:
        return png(small)
    return bytes(imagecodecs.jpeg8_encode(small, level=quality))


def png(picture: NDArray[np.uint8]) -> bytes:
    """Return a picture, grey or RGB, as PNG."""
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(picture)))


def _parse_window(text: str) -> tuple[float, float, str]:
    center, _, rest = text.partition(",")
    width, _, function = rest.partition(",")
    function = (function or "linear").strip().lower()
    try:
        parsed = float(center), float(width)
    except ValueError:
        parsed = (0.0, 0.0)
    if not all(map(np.isfinite, parsed)) or parsed[1] <= 0 or function not in _FUNCTIONS:
        raise Invalid("the window is none", "write window=CENTER,WIDTH,linear with a width above 0")
    return *parsed, function


def _number(dataset: Dataset, keyword: str) -> float | None:
    """Return an attribute's first number, None where there is none that is finite."""
    try:
        value = dataset.get(keyword)
        first = value[0] if isinstance(value, list) or hasattr(value, "append") else value
        number = float(str(first))
    except FAILURES:
        return None
    return number if np.isfinite(number) else None


def _windowed(
    frame: NDArray[np.generic], dataset: Dataset, window: tuple[float, float, str] | None
) -> NDArray[np.uint8]:
    """Bring stored values to 0..255: modality LUT (linear), then VOI (PS3.3 C.11.2.1.2), then MONOCHROME1."""
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    values = frame.astype(np.float32) * np.float32(slope or 1) + np.float32(intercept or 0)
    values = np.nan_to_num(values)
    if window is None:
        center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
        if center is not None and width is not None and width >= 1:
            window = (center, width, "linear")
        else:
            low, high = float(values.min()), float(values.max())
            window = ((low + high) / 2, max(high - low, 1e-6), "linear-exact")
    center, width, function = window
    if function == "sigmoid":
        scaled = 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -80, 80)))
    elif function == "linear" and width > 1:
        scaled = (values - (center - 0.5)) / (width - 1) + 0.5
    else:
        scaled = (values - center) / width + 0.5
    if str(dataset.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1":
        scaled = 1 - scaled
    return np.asarray(np.clip(scaled * 255 + 0.5, 0, 255), np.uint8)


def _shrunk(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Take every n-th part of the picture's rows and columns, averaged where a whole number of pixels makes one."""
    height, width = picture.shape[:2]
    scale = max(width / size[0], height / size[1], 1.0)
    block = int(scale)
    if block > 1:
        rows, columns = height // block * block, width // block * block
        blocks = picture[:rows, :columns].reshape(rows // block, block, columns // block, block, *picture.shape[2:])
        picture = np.asarray(blocks.mean(axis=(1, 3)), np.uint8)
    height, width = picture.shape[:2]
    scale = max(width / size[0], height / size[1], 1.0)
    down = (np.arange(max(int(height / scale), 1)) * scale).astype(int)
    across = (np.arange(max(int(width / scale), 1)) * scale).astype(int)
    return np.asarray(picture[down][:, across])
