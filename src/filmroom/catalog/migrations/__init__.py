"""Steps from one shape of the catalog to the next, run by Alembic from `adapters.sql.engine`."""

HEAD = "0001"
"""The newest step: a catalog that has it needs no migration."""
