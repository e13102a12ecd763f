"""When each page was last seen; on PostgreSQL what was measured moves into a table a month (`store.months`)."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

from measurements.store import months

revision = "0006"
down_revision = "0005"

_MOVED = ("measurement", "verdict", "vote")


def upgrade() -> None:
    op.create_table(
        "body_seen",
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("seen", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_body_seen"),
        sqlite_with_rowid=False,
    )
    # Nobody wrote down when older pages were last seen: the time of the upgrade keeps them long enough.
    op.get_bind().execute(sa.text("INSERT INTO body_seen SELECT sha256, :now FROM body"), {"now": time.time()})
    if op.get_bind().dialect.name == "postgresql":
        _move()


def _move() -> None:
    """Make the partitioned tables, fill them month by month in order of time, and only then index them."""
    for name in _MOVED:
        op.execute(f"ALTER TABLE {name} RENAME TO {name}_before")
    parts = "PARTITION BY RANGE (started)"
    op.execute(f"CREATE TABLE measurement (LIKE measurement_before) {parts}")
    op.execute(f"CREATE TABLE verdict (LIKE verdict_before, started double precision NOT NULL) {parts}")
    op.execute(f"CREATE TABLE vote (LIKE vote_before INCLUDING DEFAULTS, started double precision NOT NULL) {parts}")
    op.execute("ALTER TABLE measurement ALTER encoded SET STORAGE EXTERNAL")  # it is compressed already
    op.execute("ALTER SEQUENCE vote_number_seq OWNED BY vote.number")
    op.execute("CREATE TABLE known (id bytea NOT NULL, started double precision NOT NULL)")
    connection = op.get_bind()
    first, last = months.bounds(months.EARLY)[1], months.bounds(months.LATE)[0]
    times = connection.execute(sa.text(_MONTHS), {"first": first, "last": last}).scalars()
    months.make(connection, map(months.month_of, times))
    op.execute("INSERT INTO measurement SELECT * FROM measurement_before ORDER BY started, id")
    op.execute("INSERT INTO known SELECT id, started FROM measurement_before ORDER BY started, id")
    order = "JOIN measurement_before ON measurement_before.id = measurement_id ORDER BY started"
    op.execute("INSERT INTO verdict SELECT verdict_before.*, started FROM verdict_before " + order)  # noqa: S608
    op.execute("INSERT INTO vote SELECT vote_before.*, started FROM vote_before " + order)  # noqa: S608
    for name in reversed(_MOVED):
        op.execute(f"DROP TABLE {name}_before")
    op.execute("ALTER TABLE known ADD CONSTRAINT pk_known PRIMARY KEY (id)")
    op.execute("CREATE INDEX ix_known_started ON known USING brin (started)")
    op.execute("ALTER TABLE measurement ADD CONSTRAINT pk_measurement PRIMARY KEY (started, id)")
    op.execute("CREATE INDEX ix_measurement_url_started ON measurement (url, started)")
    op.execute("CREATE INDEX ix_measurement_host_started ON measurement (host, started)")
    op.execute("CREATE INDEX ix_measurement_started ON measurement USING brin (started)")
    op.execute("ALTER TABLE verdict ADD CONSTRAINT pk_verdict PRIMARY KEY (measurement_id, rules_version, started)")
    op.execute("ALTER TABLE vote ADD CONSTRAINT pk_vote PRIMARY KEY (number, started)")
    op.execute("ALTER TABLE vote ADD CONSTRAINT uq_vote UNIQUE (measurement_id, layer, strength, started)")


_MONTHS = """
    SELECT DISTINCT CASE
        WHEN started < :first THEN 0.0 WHEN started >= :last THEN :last
        ELSE extract(epoch FROM date_trunc('month', to_timestamp(started), 'UTC'))
    END::float8 FROM measurement_before
"""
