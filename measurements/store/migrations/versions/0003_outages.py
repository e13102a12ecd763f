"""What a gap knows of its edges: when something last worked before it, the last look that failed, whether it ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("gap", sa.Column("worked", sa.Double))
    op.add_column("gap", sa.Column("failed", sa.Double))
    op.add_column("gap", sa.Column("restored", sa.Boolean))
