"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "measurement",
        sa.Column("id", sa.LargeBinary, nullable=False),
        sa.Column("probe_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("nettest", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("country", sa.Text),
        sa.Column("asn", sa.BigInteger),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("runtime", sa.Double, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("full_body", sa.Boolean, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("encoded", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_measurement"),
    )
    op.create_index("ix_measurement_started_id", "measurement", ["started", "id"])
    op.create_index("ix_measurement_url_started", "measurement", ["url", "started"])
    op.create_index("ix_measurement_host_started", "measurement", ["host", "started"])
    op.create_table(
        "body",
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("stored_at", sa.Double, nullable=False),
        sa.Column("copy", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_body"),
    )
    op.create_table(
        "verdict",
        sa.Column("measurement_id", sa.LargeBinary, nullable=False),
        sa.Column("rules_version", sa.BigInteger, nullable=False),
        sa.Column("judged_at", sa.Double, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("mechanism", sa.Text),
        sa.Column("trigger", sa.Text),
        sa.Column("where", sa.Text),
        sa.Column("pattern", sa.Text),
        sa.Column("confidence", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("findings", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("measurement_id", "rules_version", name="pk_verdict"),
        sa.ForeignKeyConstraint(["measurement_id"], ["measurement.id"], name="fk_verdict_measurement_id"),
    )
    op.create_table(
        "gap",
        sa.Column("probe_id", sa.Text, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("probe_id", "since", "why", name="pk_gap"),
    )
    op.create_table(
        "probe",
        sa.Column("probe_id", sa.Text, nullable=False),
        sa.Column("last_sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("probe_id", name="pk_probe"),
    )
    op.create_table(
        "spent",
        sa.Column("probe_id", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("probe_id", "day", name="pk_spent"),
    )
