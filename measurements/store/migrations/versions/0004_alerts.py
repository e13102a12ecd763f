"""What alert hooks are still to be told, and what they were told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "alert_hook",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("setting", sa.Text, nullable=False),
        sa.Column("disabled", sa.Text, nullable=False),
        sa.Column("seen", sa.Double, nullable=False),
        sa.Column("lived", sa.Double, nullable=False),
        sa.Column("delivered", sa.Double),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("failing", sa.Double),
        sa.Column("why", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_alert_hook"),
    )
    op.create_table(
        "alert_event",
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("hook", sa.Text, nullable=False),
        sa.Column("wanted", sa.BigInteger, nullable=False),
        sa.Column("first", sa.BigInteger),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("told_at", sa.Double),
        sa.Column("since", sa.Double),
        sa.Column("due", sa.Double),
        sa.Column("born", sa.Double, nullable=False),
        sa.Column("held", sa.Boolean, nullable=False),
        sa.Column("notice", sa.Text),
        sa.Column("skipped", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("event_id", "hook", name="pk_alert_event"),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name="fk_alert_event_event_id"),
    )
    op.create_index("ix_alert_event_hook_due", "alert_event", ["hook", "due"])
    op.create_index("ix_alert_event_notice", "alert_event", ["notice"])
    op.create_table(
        "alert_notice",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("hook", sa.Text, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("encoded", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("due", sa.Double),
        sa.Column("born", sa.Double, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("ended", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_alert_notice"),
    )
    op.create_index("ix_alert_notice_hook_due", "alert_notice", ["hook", "due"])
