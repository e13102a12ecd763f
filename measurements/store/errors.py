"""What can go wrong with a store, in sentences that name the place and what to do.

Every error of a driver becomes a `StoreError` here and nowhere else. Three kinds matter to a caller:
`StoreFull` passes once there is space; `StoreBroken` does not pass while the process runs, because a
disk that failed to write cannot be trusted to say what it wrote, and trying again would hide that;
any other one concerns the request or the row that it names.
"""

from __future__ import annotations

from sqlalchemy import exc

_CORRUPT, _NOT_A_DATABASE = 11, 26
_BUSY, _LOCKED, _READ_ONLY, _IO_ERROR, _FULL, _CANNOT_OPEN = 5, 6, 8, 10, 13, 14


class StoreError(Exception):
    """The store cannot do what was asked; the text says why and what to do."""


class StoreFull(StoreError):
    """There is no space left; what was kept is kept, and storing works again once there is space."""


class StoreBroken(StoreError):
    """The store stopped: nothing more is written until it is opened again."""


class StoreBusy(StoreError):
    """Somebody reads what was to be deleted; nothing was, and it can be tried again."""


class NotFound(StoreError):
    """No measurement, or more than one, has this id."""


def sqlite_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code of an error, or None when it has none."""
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def is_damage(error: BaseException) -> bool:
    """Tell whether SQLite says that the file itself is damaged, or is no database.

    Where its message quotes the damage, the message cannot even be decoded.
    """
    return sqlite_code(error) in (_CORRUPT, _NOT_A_DATABASE) or isinstance(error, UnicodeDecodeError)


def is_passing(error: BaseException) -> bool:
    """Tell whether trying again soon is sensible: the server went away, or another holds what is needed."""
    if sqlite_code(error) in (_BUSY, _LOCKED):
        return True
    if not isinstance(error, exc.OperationalError) or not hasattr(error.orig, "sqlstate"):
        return False
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state is None or state.startswith("08") or state in ("57P01", "57P02", "57P03", "40P01")


def concerns_the_row(error: BaseException) -> bool:
    """Tell whether an error may be one row's fault rather than the store's."""
    if isinstance(error, exc.OperationalError | exc.InternalError | OSError | MemoryError):
        return False
    return type(error) is not exc.DatabaseError and not is_damage(error)


def explain(error: BaseException, place: str) -> StoreError:
    """Put an error into words. `place` is the path, or the URL without its password."""
    if isinstance(error, StoreError):
        return error
    code, state = sqlite_code(error), getattr(getattr(error, "orig", None), "sqlstate", None)
    said = _first_line(getattr(error, "orig", None) or error)
    if code == _FULL or state == "53100":
        return StoreFull(
            f"no space is left for the store {place} ({said}). What was stored is kept. "
            "Free some space, and storing goes on by itself."
        )
    if is_damage(error):
        return StoreBroken(
            f"the store {place} is damaged ({said}). Nothing was deleted. Stop Wazi and start it again: "
            "it sets the damaged file aside under another name and starts a fresh one."
        )
    if code == _IO_ERROR:
        return StoreBroken(
            f"the disk failed under the store {place} ({said}). What was stored before is kept; nothing "
            "more is written. Check the disk and its free space, then start Wazi again."
        )
    if state == "23514" and "no partition of relation" in said:
        return StoreError(
            f"the store {place} has no tables for that month, and this user may not make them. Let the owner of the "
            "tables run Wazi, or this command."
        )
    if code in (_READ_ONLY, _CANNOT_OPEN) or state in ("25006", "42501"):
        return StoreError(
            f"the store {place} cannot be written ({said}). Give this user the right to write there, "
            "or name another place in [store] url (WAZI_STORE__URL)."
        )
    if code in (_BUSY, _LOCKED):
        return StoreError(f"another program holds the store {place} locked ({said}). Close it and try again.")
    if isinstance(error, exc.OperationalError) and state is None:
        return StoreError(
            f"the database {place} does not answer ({said}). Check that it runs, and check "
            "[store] url (WAZI_STORE__URL): host, port, user and database."
        )
    return StoreError(f"the store {place} refused: {said}")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
