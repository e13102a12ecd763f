"""Alembic's migrations, shipped in the wheel: they run by themselves when a store is opened.

To add one: write `versions/NNNN_what.py` after the last, change `tables.py` to match, and set
`tables.HEAD`. A test compares what the migrations make with `tables.py` on both databases. Versions are
four digits, so that they compare as text.
"""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config


def configuration() -> Config:
    """Make Alembic's configuration; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
