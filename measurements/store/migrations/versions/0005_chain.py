"""The hash chain of each probe's measurements, its signed checkpoints and keys."""

from __future__ import annotations

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Nothing yet."""
