"""Keeping measurements, and finding them again: SQLite or PostgreSQL by URL.

    with open_store("sqlite:////data/wazi.db") as store:
        receipt = store.add(measurement, verdict)   # at once; await it, or receipt.result()
        for entry in store.measurements(outcome=Outcome.BLOCKED, limit=20): ...

Importing this room imports SQLAlchemy: do it inside the commands that need it.
"""

from measurements.store.errors import NotFound, StoreBroken, StoreError, StoreFull
from measurements.store.ledger import Ledger, Position, Turn
from measurements.store.opening import open_store, upgrade
from measurements.store.queries import Filter
from measurements.store.records import Entry, Health, Kept, Opinion
from measurements.store.sql_store import Store
from measurements.store.writer import Receipt

__all__ = [
    "Entry",
    "Filter",
    "Health",
    "Kept",
    "Ledger",
    "NotFound",
    "Opinion",
    "Position",
    "Receipt",
    "Store",
    "StoreBroken",
    "StoreError",
    "StoreFull",
    "Turn",
    "open_store",
    "upgrade",
]
