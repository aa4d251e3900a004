"""The crosswalk: whom each pseudonym of a project stands for. It lies in the vault and nowhere else.

Pseudonyms are keyed hashes and cannot be turned back. So that the hospital can still find a patient to whom something has to
be said, the one entry that tells is sealed under a key of its own, in a zone of its own. Whoever makes copies adds to it;
only `flow.reidentify` reads it. Destroying an entry's key makes its pseudonym anonymous to the room as well.
"""

import json

from filmroom.canon import canonical
from filmroom.crypto import derive
from filmroom.dicom import parse
from filmroom.errors import NotFound
from filmroom.flow.sealed import SealedZone
from filmroom.ids import Zone
from filmroom.ports import Ports
from filmroom.records import PatientIdentity


class Crosswalk:
    """One project's entries. An entry is written once, when the project's first copy of that patient is made."""

    def __init__(self, ports: Ports, project: str) -> None:
        self._ports = ports
        self._project = project
        self._vault = SealedZone(ports, Zone.VAULT)
        self._noted: set[str] = set()

    def note(self, pseudonym: str, source: bytes) -> None:
        """Keep whom the pseudonym stands for, as `source` says. Durable when it returns."""
        if pseudonym in self._noted:
            return
        name, subject = self._name(pseudonym), _subject(self._project, pseudonym)
        try:
            self._ports.objects[Zone.VAULT].size(name)
        except NotFound:
            issuer, patient_id = parse.patient(parse.read(source))
            self._vault.ensure([subject])
            self._vault.put(name, subject, canonical({"issuer": issuer, "patient_id": patient_id}))
        self._noted.add(pseudonym)

    def holds(self, pseudonym: str) -> bool:
        try:
            return self._ports.objects[Zone.VAULT].size(self._name(pseudonym)) > 0
        except NotFound:
            return False

    def open(self, pseudonym: str) -> PatientIdentity:
        """Return whom the pseudonym stands for. Raises NotFound, KeyGone or Corrupt."""
        content = json.loads(self._vault.get(self._name(pseudonym), _subject(self._project, pseudonym)))
        return PatientIdentity(issuer=content["issuer"], patient_id=content["patient_id"])

    def _name(self, pseudonym: str) -> str:
        key = self._ports.keys.derive(Zone.VAULT, "crosswalk")
        return f"crosswalk/{derive.keyed(key, self._project, pseudonym).hex()}"


def _subject(project: str, pseudonym: str) -> str:
    return f"crosswalk/{project}/{pseudonym}"
