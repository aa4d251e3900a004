"""Units and coding scheme designators that are public (UCUM, PS3.16 section 8), and what their codes mean, as data."""

from collections.abc import Mapping
from functools import cache
from typing import TypeAlias, cast

_Concepts: TypeAlias = Mapping[str, Mapping[str, tuple[str, object]]]

UNITS = frozenset(
    """1 mm cm um m mm2 mm3 cm2 cm3 ml s ms us min h d deg rad Hz kHz MHz T mT kV mA mAs Gy mGy cGy Sv Bq MBq kBq HU [hnsf'U] %
    Bq/ml BQML g/ml GML {SUVbw}g/ml {SUVlbm}g/ml {SUVbsa}cm2/ml mm2/s um2/s 10-6.mm2/s s/mm2 1/s 1/min {counts} {propcounts}
    {ratio} CNTS NONE PROPCPS CM2ML CM2 PCNT CPS OD US {bpm} kg kg/m2 /min mT/m W/kg ppm [arb'U] {Particles}/[100]g{Tissue}
    """.split()
)
SCHEMES = frozenset(
    "DCM SRT SCT SNM3 SNM99 99SDM LN UCUM RADLEX FMA UMLS NCIT NCIt NEU UBERON I9 I9C I10 I10P ICDO ICDO3 ISO3166_1 BI MA MDC SCPECG".split()
)


@cache
def meanings() -> Mapping[tuple[str, str], str]:
    """Return what codes mean, by scheme and code: those of PS3.16's context groups, and units, which mean themselves."""
    from pydicom.sr import _concepts_dict  # as long to load as a third of all else that a command needs

    found = {("UCUM", unit): unit for unit in UNITS}
    for scheme in ("DCM", "SCT"):
        for codes in cast(_Concepts, _concepts_dict.concepts[scheme]).values():
            found |= {(scheme, code): meaning for code, (meaning, _) in codes.items() if meaning.isascii()}
    return found
