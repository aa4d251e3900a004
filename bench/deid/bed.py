"""One file on its way to being planted: the data set, whose it is, and the notes of what went where."""

import random
from collections.abc import Callable, Sequence
from datetime import date
from string import Formatter

from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as Items

from bench.deid.key import REMOVED, Burned, Plant
from bench.deid.people import CODECS, Patient, Words

_SPELLINGS = (
    "%Y-%m-%d %d.%m.%Y %m/%d/%Y %d/%m/%Y %d~%B~%Y %B~%d,~%Y %d-%b-%Y %Y/%m/%d %d~%b~%Y %b~%d~%Y %Y.%m.%d"
).split()


class Bed:
    """Where plants go. The methods note what they plant, so that the key is whole when the file is."""

    def __init__(
        self, dataset: FileDataset, patient: Patient, words: Words, rng: random.Random, *, file: str, seen: date
    ) -> None:
        self.dataset = dataset
        self.patient = patient
        self.words = words
        self.rng = rng
        self.file = file
        self.seen = seen
        self.charset = patient.charset
        self.plants: list[Plant] = []
        self.preamble = bytes(128)
        self.benign: dict[str, str] = {}

    def note(
        self,
        place: str,
        attribute: str,
        text: str,
        forms: Sequence[str],
        *,
        action: str = REMOVED,
        burned: Burned | None = None,
    ) -> None:
        self.plants.append(
            Plant(
                file=self.file,
                sop_uid=str(self.dataset.SOPInstanceUID),
                place=place,
                attribute=attribute,
                action=action,
                text=text,
                forms=tuple(forms),
                charset=CODECS[self.charset],
                burned=burned,
            )
        )

    def fill(self, template: str) -> tuple[str, tuple[str, ...]]:
        """Return the text that a template gives for this file, and the forms in it that nobody may find."""
        values: dict[str, str] = {}
        forms: list[str] = []
        for _, name, _, _ in Formatter().parse(template):
            if name and name not in values:
                values[name] = self._value(name)
                forms += [values[name], self.patient.family] if name == "name" else [values[name]]
        return template.format(**values), tuple(forms)

    def put(self, place: str, keyword: str, template: str, *, into: Dataset | None = None, at: str = "") -> None:
        """Fill the template into an attribute of the data set, or of the item `into` at the path `at`."""
        text, forms = self.fill(template)
        setattr(self.dataset if into is None else into, keyword, text)
        self.note(place, f"{at}.{keyword}" if at else keyword, text, forms)

    def item(self, *path: str) -> tuple[Dataset, str]:
        """Return the first item of the sequences of a path, made where it is missing, and its path."""
        inner: Dataset = self.dataset
        for keyword in path:
            if not inner.get(keyword):
                setattr(inner, keyword, Items([Dataset()]))
            inner = inner[keyword].value[0]
        return inner, ".".join(f"{keyword}[0]" for keyword in path)

    def _value(self, name: str) -> str:
        patient = self.patient
        values: dict[str, Callable[[], str]] = {
            "word": self.words.next,
            "doctor": self.words.next,
            "WORD": lambda: self.words.next().upper(),
            "name": lambda: self.rng.choice(self._permutations()),
            "last": lambda: patient.family,
            "LAST": lambda: patient.family.upper(),
            "native": lambda: patient.native,
            "mrn": lambda: patient.mrn,
            "phone": lambda: patient.telephone,
            "street": lambda: patient.street,
            "mail": lambda: patient.mail,
            "day": lambda: self._spelt(self.seen),
            "born": lambda: self._spelt(patient.born),
            "other": lambda: self.words.number(8),
        }
        return values[name]()

    def _permutations(self) -> list[str]:
        last, first = self.patient.family, self.patient.given
        return [f"{last}, {first}", f"{first} {last}", f"{last}^{first}", f"{last} {first[:1]}.", f"{first[:1]}.{last}"]

    def _spelt(self, day: date) -> str:
        return day.strftime(self.rng.choice(_SPELLINGS)).replace("~", " ")
