"""Cohort + labels + clean instances -> a signed manifest. Metadata only; no pixels are touched."""
