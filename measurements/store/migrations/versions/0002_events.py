"""Votes, the events that follow from them, and how far they were counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "vote",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("measurement_id", sa.LargeBinary, nullable=False),
        sa.Column("layer", sa.Text, nullable=False),
        sa.Column("blocked", sa.Boolean, nullable=False),
        sa.Column("strength", sa.Text, nullable=False),
        sa.Column("mechanism", sa.Text, nullable=False),
        sa.Column("software", sa.Text, nullable=False),
        sa.Column("placebo", sa.Boolean, nullable=False),
        sa.Column("rules_version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_vote"),
        sa.UniqueConstraint("measurement_id", "layer", "strength", name="uq_vote"),
        sa.ForeignKeyConstraint(["measurement_id"], ["measurement.id"], name="fk_vote_measurement_id"),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("opened", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("encoded", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
    )
    op.create_index("ix_event_opened_id", "event", ["opened", "id"])
    op.create_table(
        "event_version",
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.Column("encoded", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("event_id", "version", name="pk_event_version"),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name="fk_event_version_event_id"),
    )
    op.create_table(
        "detector",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.Column("header", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_detector"),
    )
    op.create_table(
        "detector_cell",
        sa.Column("detector", sa.Text, nullable=False),
        sa.Column("cell", sa.Text, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("detector", "cell", name="pk_detector_cell"),
        sa.ForeignKeyConstraint(["detector"], ["detector.name"], name="fk_detector_cell_detector"),
    )
