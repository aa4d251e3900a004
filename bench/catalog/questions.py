"""Twenty questions for a cohort, in the catalog's language and in DuckDB's SQL; both have to give the same rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from filmroom.ports import Instances
from filmroom.records import Level, Value

_CHEST = "modality = 'CT' AND body_part = 'CHEST'"
_THIN = f"{_CHEST} AND slice_thickness_mm <= 1.5"
_VENDORS = "manufacturer IN ('GE', 'Siemens')"
_PAGE = ("series_uid", "study_date", "series_description")


@dataclass(frozen=True, slots=True)
class Question:
    """`by` is the column of a facet; `limit` makes a list of rows, in `order`; else it is a count of `level`.

    `sql` is the condition for DuckDB where that has to be written differently.
    """

    name: str
    where: str
    level: Level = Level.SERIES
    by: str = ""
    order: str = ""
    limit: int = 0
    sql: str = ""

    def ask(self, instances: Instances) -> list[tuple[Value, ...]]:
        if self.by:
            return [*instances.facet(self.where, self.level, self.by, 50)]
        if not self.limit:
            return [(instances.count(self.where, self.level),)]
        order = self.order or None
        rows = instances.query(self.where, self.level, select=_PAGE, order=order, limit=self.limit)
        return [tuple(row.values()) for row in rows]

    def in_duckdb(self) -> str:
        where = self.sql or self.where
        where = f"WHERE {where}" if where else ""
        if self.by:
            ordered = f"ORDER BY 2 DESC, {self.by} NULLS LAST LIMIT 50"
            return f"SELECT {self.by}, count(*) FROM series {where} GROUP BY 1 {ordered}"
        if self.limit:
            order = self.order.replace("desc", "DESC") + " NULLS LAST, " if self.order else ""
            by = f"{order}subject, study_uid, series_uid"
            return f"SELECT {', '.join(_PAGE)} FROM series {where} ORDER BY {by} LIMIT {self.limit}"
        key = {Level.PATIENT: "DISTINCT subject", Level.STUDY: "DISTINCT study_uid"}.get(self.level, "*")
        return f"SELECT count({key}) FROM series {where}"


def _labelled(finding: str, value: str) -> tuple[str, str]:
    ours = f"has_label('reads', '{finding}', '{value}')"
    return ours, f"series_uid IN (SELECT target FROM labels WHERE finding = '{finding}' AND value = '{value}')"


_NODULE, _NODULE_SQL = _labelled("nodule", "present")
_EFFUSION, _EFFUSION_SQL = _labelled("effusion", "present")

QUESTIONS: Sequence[Question] = (
    Question("count: thin chest CT of one maker", f"{_THIN} AND manufacturer = 'Siemens'"),
    Question("count: thin chest CT, two makers, adult", f"{_THIN} AND {_VENDORS} AND age_years >= 18"),
    Question("count: MR of one collection", "modality = 'MR' AND trial = 'prostatex'"),
    Question("count: CT of two years", "modality = 'CT' AND study_date BETWEEN '2000-01-01' AND '2001-12-31'"),
    Question("count: chest CT of women", f"{_CHEST} AND sex = 'F' AND trial <> 'nlst'"),
    Question("count: studies with breast MR", "modality = 'MR' AND body_part = 'BREAST'", Level.STUDY),
    Question("count: patients of a collection", "modality = 'CT' AND trial = 'lidc_idri'", Level.PATIENT),
    Question("facet: modality of everything", "", by="modality"),
    Question("facet: maker of CT", "modality = 'CT'", by="manufacturer"),
    Question("facet: collection of thin chest CT", _THIN, by="trial"),
    Question("facet: slice thickness of MR", "modality = 'MR'", by="slice_thickness_mm"),
    Question("top: newest chest CT", _CHEST, order="study_date desc", limit=50),
    Question(
        "top: thinnest prostate MR", "modality = 'MR' AND body_part = 'PROSTATE'", order="slice_thickness_mm", limit=50
    ),
    Question("page: CT of a collection", "modality = 'CT' AND trial = 'lidc_idri'", limit=100),
    Question("text: 'lung' in the description", "series_description ILIKE '%lung%'"),
    Question(
        "text: page of axial T2", "series_description ILIKE '%t2%' AND series_description ILIKE '%tra%'", limit=100
    ),
    Question("text: facet of makers", "modality = 'CT' AND series_description ILIKE '%b30f%'", by="manufacturer"),
    Question("labels: chest CT with a nodule", f"{_CHEST} AND {_NODULE}", sql=f"{_CHEST} AND {_NODULE_SQL}"),
    Question(
        "labels: thin, nodule, no effusion",
        f"{_THIN} AND {_VENDORS} AND {_NODULE} AND NOT {_EFFUSION}",
        sql=f"{_THIN} AND {_VENDORS} AND {_NODULE_SQL} AND NOT {_EFFUSION_SQL}",
    ),
    Question(
        "labels: makers of what has an effusion",
        f"modality = 'CT' AND {_EFFUSION}",
        by="manufacturer",
        sql=f"modality = 'CT' AND {_EFFUSION_SQL}",
    ),
)
