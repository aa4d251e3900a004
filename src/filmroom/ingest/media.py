"""What a medium's DICOMDIR announced, compared with what came from the medium."""

from collections.abc import Iterator, Mapping, Sequence

from filmroom.dicom.directory import Directory
from filmroom.records import Discrepancy


class Medium:
    """One DICOMDIR, ticked off. `name` is what the sender calls it; the files that it names lie below its folder `root`."""

    def __init__(self, name: str, directory: Directory) -> None:
        self._name = name
        self._directory = directory
        folder, slash, _ = name.rpartition("/")
        self.root = folder + slash
        self._uids: dict[str, set[str]] = {}
        for entry in directory.entries:
            self._uids.setdefault(_on_medium(entry.path), set()).add(entry.sop_uid)
        self._came: set[str] = set()
        self._lies: set[str] = set()

    def announces(self, name: str) -> bool:
        """Say whether the directory names an object that came under this name."""
        return name.startswith(self.root) and _on_medium(name[len(self.root) :]) in self._uids

    def tick(self, name: str, sop_uid: str) -> None:
        """Tick off what came under an announced name; `sop_uid` is what it is, "" when that is not known."""
        path = _on_medium(name[len(self.root) :])
        self._came.add(path)
        if sop_uid and self._uids[path] - {sop_uid, ""}:
            self._lies.add(name)

    def discrepancies(self) -> tuple[Discrepancy, ...]:
        """Return what did not come, what is another object than the directory says, and what is wrong with it itself."""
        named = {_on_medium(entry.path): entry.path for entry in self._directory.entries}
        found = [
            Discrepancy("dicomdir-missing", self.root + path) for key, path in named.items() if key not in self._came
        ]
        found += [Discrepancy("dicomdir-uid", name) for name in self._lies]
        found += [Discrepancy("dicomdir-path", self._name)] * self._directory.bad_paths
        if not self._directory.is_whole:
            found.append(Discrepancy("dicomdir-broken", self._name))
        return tuple(found)


def announcing(media: Mapping[str, Sequence[Medium]], name: str) -> Iterator[Medium]:
    """Yield those of the media, given by root, that name an object that came under this name."""
    folders = ["", *(name[: at + 1] for at, sign in enumerate(name) if sign == "/")]
    for folder in folders:
        yield from (medium for medium in media.get(folder, ()) if medium.announces(name))


def _on_medium(path: str) -> str:
    """Return a path as ISO 9660 compares it: without regard to case, a final dot and a version."""
    return path.partition(";")[0].rstrip(".").upper()
