"""What stands beside an image file: its JSON sidecar, and whom its name is about, as BIDS and dcm2niix write them.

Names only say which sidecar belongs to which file; what an object is, is decided by its content.
Source: Brain Imaging Data Structure 1.10, bids-specification.readthedocs.io.
"""

import json
import re

MAX_BYTES = 256 * 1024

_VOLUMES = (".nii.gz", ".nii")
_SUBJECT = re.compile(r"(?:^|[/_])(sub-[A-Za-z0-9]{1,61})(?=[/_.])")


def sidecar_name(name: str) -> str | None:
    """Return what the sidecar of a volume would be called, None when `name` is not a volume's."""
    stem = next((name[: -len(ending)] for ending in _VOLUMES if name.lower().endswith(ending)), None)
    return None if stem is None else f"{stem}.json"


def volume_names(name: str) -> tuple[str, ...]:
    """Return what the volume of a sidecar could be called; none when `name` is not a sidecar's."""
    stem, dot, ending = name.rpartition(".")
    return tuple(f"{stem}{each}" for each in _VOLUMES) if dot and ending.lower() == "json" else ()


def fields_of(sidecar: bytes) -> str | None:
    """Return a sidecar's fields as JSON text, sorted by name; None when it is no JSON object, or too large."""
    if len(sidecar) > MAX_BYTES:
        return None
    try:
        fields = json.loads(sidecar, parse_constant=_refuse)
        return json.dumps(fields, sort_keys=True, allow_nan=False) if isinstance(fields, dict) else None
    except (ValueError, RecursionError):
        return None


def field(fields: str, name: str) -> str | None:
    """Return a short text field of what `fields_of` returned."""
    value = json.loads(fields).get(name)
    return value if isinstance(value, str) and 0 < len(value) <= 64 else None


def subject_of(name: str) -> str | None:
    """Return the BIDS label of whom a file is about, `sub-...`, from the last part of its path that has one."""
    found = _SUBJECT.findall(name)
    return found[-1] if found else None


def _refuse(constant: str) -> None:
    raise ValueError(constant)
