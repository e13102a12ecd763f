"""The hash chain of each probe's measurements, its signed checkpoints and keys.

What was stored before has no link: a chain begins with the first measurement after it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "link",
        sa.Column("probe_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("measurement_id", sa.LargeBinary, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("chain", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("probe_id", "sequence", name="pk_link"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_link_measurement_id", "link", ["measurement_id"])
    op.create_table(
        "checkpoint",
        sa.Column("probe_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("key_id", sa.LargeBinary, nullable=False),
        sa.Column("chain", sa.LargeBinary, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("stamp", sa.LargeBinary),
        sa.PrimaryKeyConstraint("probe_id", "sequence", "key_id", name="pk_checkpoint"),
    )
    op.create_table(
        "signing_key",
        sa.Column("key_id", sa.LargeBinary, nullable=False),
        sa.Column("public", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_signing_key"),
    )
    op.create_table(
        "rotation",
        sa.Column("key_id", sa.LargeBinary, nullable=False),
        sa.Column("next_id", sa.LargeBinary, nullable=False),
        sa.Column("public", sa.LargeBinary, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("next_signature", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "next_id", name="pk_rotation"),
    )
