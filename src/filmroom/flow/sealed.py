"""Objects of a zone, sealed under the key of whom they are about.

A key is kept before the first byte is sealed under it, and an object's name depends on its content only: so what a
crash leaves behind can be opened, and doing the work again overwrites it with the same plaintext. Names are keyed
hashes: whoever lists a bucket learns how many objects there are, and of which size.
"""

from collections.abc import Iterable, Sequence

from filmroom.crypto import derive, seal
from filmroom.errors import Corrupt, KeyGone
from filmroom.ids import Digest, Zone
from filmroom.ports import DataKeys, Ports
from filmroom.records import StoredInstance

_KEY_BYTES = 32


def patient_subject(ports: Ports, issuer: str, patient_id: str, study_uid: str) -> str:
    """Return the name of the patient's clinical key; without a Patient ID the study stands for the patient."""
    key = ports.keys.derive(Zone.CLINICAL, "subjects")
    parts = ("patient", issuer, patient_id) if patient_id else ("study", study_uid)
    return f"patient/{derive.keyed(key, *parts).hex()[:32]}"


def case_subject(ports: Ports, digest: Digest) -> str:
    """Return the name of the key of a quarantine case, whose patient nobody knows yet."""
    return f"case/{derive.keyed(ports.keys.derive(Zone.CLINICAL, 'cases'), digest.hex).hex()[:32]}"


def file_subject(ports: Ports, digest: Digest) -> str:
    """Return the name of an image file's key: one for each file, for nothing proves that two are about one person.

    A BIDS label such as sub-01 names somebody else in each data set. Two people under one key could only be erased
    together; one person's files under several keys are found by `file_patient` and erased one by one.
    """
    return f"file/{derive.keyed(ports.keys.derive(Zone.CLINICAL, 'files'), digest.hex).hex()[:32]}"


def project_subject(project: str, pseudonym: str = "") -> str:
    """Return the name of a project's own key, or of its key for one patient."""
    return f"project/{project}/{pseudonym}" if pseudonym else f"project/{project}"


def shardset_subject(shardset: Digest, pseudonym: str = "") -> str:
    """Return the name of a shardset's own key, or of its key for one patient."""
    return f"shardset/{shardset.hex}/{pseudonym}" if pseudonym else f"shardset/{shardset.hex}"


class SealedZone:
    """One zone's objects, opened and sealed with the keys that the catalog keeps wrapped."""

    def __init__(self, ports: Ports, zone: Zone) -> None:
        self._ports = ports
        self._zone = zone
        self._opened: dict[str, bytes] = {}

    def name_of(self, digest: Digest) -> str:
        """Return the name under which an object with this plaintext digest lies."""
        return derive.object_name(self._ports.keys.derive(self._zone, "object-names"), digest)

    def ensure(self, subjects: Iterable[str]) -> None:
        """See to it that every subject has a key, kept durably. Raises KeyGone for one whose key was destroyed."""
        missing = sorted(set(subjects) - self._opened.keys())
        if not missing:
            return
        with self._ports.catalog.read() as tx:
            known = tx.keys.get(self._zone, missing)
        fresh = {subject: self._fresh(subject) for subject in missing if subject not in known}
        if fresh:
            with self._ports.catalog.write() as tx:
                tx.keys.ensure(self._zone, fresh)
        with self._ports.catalog.read() as tx:
            self._opened.update(unwrap(self._ports, tx.keys, self._zone, missing))

    def erased(self, subjects: Iterable[str]) -> set[str]:
        """Return those of the subjects whose key was destroyed when it was last looked at; see `forget_erased`."""
        asked = sorted(set(subjects) - self._opened.keys())
        if not asked:
            return set()
        with self._ports.catalog.read() as tx:
            known = tx.keys.get(self._zone, asked)
        return {subject for subject, key in known.items() if key.wrapped is None}

    def forget_erased(self, keys: DataKeys, subjects: Iterable[str]) -> set[str]:
        """Return those whose key is destroyed by now, whoever did it, and know their keys no more."""
        known = keys.get(self._zone, sorted(set(subjects)))
        erased = {subject for subject, key in known.items() if key.wrapped is None}
        for subject in erased:
            self._opened.pop(subject, None)
        return erased

    def put(self, name: str, subject: str, data: bytes) -> bytes:
        """Seal and store; `ensure` has been called for the subject. Returns the sealed bytes."""
        sealed = seal.seal(self._opened[subject], seal.context_of(self._zone, name), data)
        self._ports.objects[self._zone].put(name, sealed)
        return sealed

    def put_pieces(self, name: str, subject: str, pieces: Iterable[bytes]) -> None:
        """Seal and store what is too large to be in memory; `ensure` has been called for the subject."""
        sealed = seal.seal_pieces(self._opened[subject], seal.context_of(self._zone, name), pieces)
        self._ports.objects[self._zone].put(name, sealed)

    def get(self, name: str, subject: str) -> bytes:
        """Fetch and open. Raises NotFound, KeyGone or Corrupt."""
        key = self._known_key(subject)
        sealed = self._ports.objects[self._zone].get(name)
        return seal.open_sealed(key, seal.context_of(self._zone, name), sealed)

    def get_content(self, digest: Digest, subject: str, *, below: str = "") -> bytes:
        """Fetch by content, below a prefix, and prove it: raises Corrupt unless the plaintext has this digest."""
        data = self.get(f"{below}{self.name_of(digest)}", subject)
        if Digest.of(data) != digest:
            raise Corrupt(f"object {digest} is not what it was", "restore it from a replica")
        return data

    def get_part(self, stored: StoredInstance, start: int, stop: int) -> bytes:
        """Fetch the bytes from `start` to `stop` of an instance, and no more than the chunks that hold them.

        They are proven to be what was sealed under the instance's name. Raises NotFound, KeyGone or Corrupt.
        """
        name, objects = self.name_of(stored.digest), self._ports.objects[self._zone]
        header = objects.get_range(name, 0, seal.HEADER)
        reader = seal.RangeReader(self._known_key(stored.subject), seal.context_of(self._zone, name), header)
        first, last = reader.ciphertext_range(start, stop - start, stored.size_bytes)
        return reader.open(objects.get_range(name, first, last - first), start, stop - start)

    def key(self, subject: str) -> bytes:
        """Return the subject's key, for deriving a salt from it."""
        self.ensure([subject])
        return self._opened[subject]

    def _known_key(self, subject: str) -> bytes:
        if subject not in self._opened:
            with self._ports.catalog.read() as tx:
                self._opened.update(unwrap(self._ports, tx.keys, self._zone, [subject]))
        return self._opened[subject]

    def _fresh(self, subject: str) -> bytes:
        return self._ports.keys.wrap(self._zone, subject, self._ports.entropy.draw(_KEY_BYTES))


def unwrap(ports: Ports, keys: DataKeys, zone: Zone, subjects: Sequence[str]) -> dict[str, bytes]:
    """Open the wrapped keys of these subjects. Raises KeyGone for one that never was or was destroyed."""
    known = keys.get(zone, subjects)
    opened: dict[str, bytes] = {}
    for subject in subjects:
        wrapped = known[subject].wrapped if subject in known else None
        if wrapped is None:
            raise KeyGone("there is no key for this subject any more", "what was sealed under it cannot be read")
        opened[subject] = ports.keys.unwrap(zone, subject, wrapped)
    return opened
