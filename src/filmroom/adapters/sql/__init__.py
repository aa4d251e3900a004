"""The catalog on SQLite and on PostgreSQL: one small class for each protocol of `ports.py`."""
