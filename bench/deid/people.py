"""The people of the planted files, none of whom exists, and words that occur nowhere else."""

import random
from dataclasses import dataclass
from datetime import date, timedelta

CODECS = {
    "ISO_IR 100": "latin-1",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "\\ISO 2022 IR 87": "iso2022_jp",
    "\\ISO 2022 IR 149": "euc_kr",
    "": "ascii",
}
"""Specific Character Set, and Python's name of the codec."""

_NAMES = (  # Patient's Name, the form of the family name in its own script, Specific Character Set
    ("Thistlethwick^John A", "Thistlethwick", ""),
    ("Grzybowiczówna^Żaneta", "Grzybowiczówna", "ISO_IR 192"),
    ("Brønnlundgård^Åse", "Brønnlundgård", "ISO_IR 100"),
    ("Oduyankaba^Chidiebere", "Oduyankaba", ""),
    ("Παπαδογιάννης^Λουκάς", "Παπαδογιάννης", "ISO_IR 126"),
    ("Люкшеменко^Наденька", "Люкшеменко", "ISO_IR 144"),
    ("Sasakibarra^Kounosuke=佐々木原^幸之助=ささきばら^こうのすけ", "佐々木原", "\\ISO 2022 IR 87"),
    ("Hwangboseok^Jihun=황보석^지훈=황보석^지훈", "황보석", "\\ISO 2022 IR 149"),
    ("Ouyangxiuwen^Bo=欧阳修文^博", "欧阳修文", "GB18030"),
    ("Quintanilhas-Nuñezeda^María José", "Quintanilhas", "ISO_IR 100"),
    ("Etxeberriagoitia^Ane", "Etxeberriagoitia", "ISO_IR 192"),
    ("VANDERSLOODTEN^JAN-WILLEM^^DR", "Vandersloodten", ""),
)
_STREETS = ("Elmbrook Row", "Harrowgate Lane", "Quillfeather Street", "Old Tannery Walk")
_SYLLABLES = "bra dol vik kes tro van mul gri pen zar lof hud wem jas cor nyl fep dro git sul".split()
_SECOND_STUDY = (37, 95, 180, 366)  # days after the first; none is whole weeks


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One person. `forms` are what must be found of none of them."""

    number: int
    name: str
    family: str
    native: str
    given: str
    charset: str
    mrn: str
    born: date
    first_seen: date
    telephone: str
    street: str
    mail: str

    @property
    def forms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.family, self.native, self.mrn, self.telephone, self.street, self.mail)))

    @property
    def years(self) -> int:
        return (self.first_seen - self.born).days // 365

    def study_date(self, number: int) -> date:
        """Return the day of the patient's study of that number, 0 for the first."""
        return self.first_seen + timedelta(days=sum(_SECOND_STUDY[:number])) if number else self.first_seen


class Words:
    """Hands out pseudo-words of nine letters, each once, that are in no lexicon; the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"words {seed}")
        self._given: set[str] = set()

    def next(self) -> str:
        while True:
            word = "".join(self._random.choices(_SYLLABLES, k=3)).capitalize()
            if word not in self._given:
                self._given.add(word)
                return word

    def number(self, digits: int) -> str:
        return str(self._random.randrange(10 ** (digits - 1), 10**digits))


def patients(seed: int) -> list[Patient]:
    """Return a person for each name; two of them are over 89 years old."""
    rng = random.Random(f"people {seed}")
    found = []
    for number, (name, native, charset) in enumerate(_NAMES):
        seen = date(2019, 1, 2) + timedelta(days=rng.randrange(1400))
        years = (92, 95)[number % 2] if number in (3, 8) else rng.randrange(19, 88)
        family, _, given = name.split("=")[0].partition("^")
        house = rng.randrange(112, 998)
        found.append(
            Patient(
                number=number,
                name=name,
                family=family.split("-")[0],
                native=native,
                given=given.split("^")[0],
                charset=charset,
                mrn=f"{rng.randrange(10_000_000, 99_999_999)}",
                born=seen - timedelta(days=int(years * 365.25) + 40),
                first_seen=seen,
                telephone=f"555-{rng.randrange(201, 899)}-{rng.randrange(1000, 9999)}",
                street=f"{house} {_STREETS[number % len(_STREETS)]}",
                mail=f"reach{number}{rng.randrange(100, 999)}@mail.example",
            )
        )
    return found
