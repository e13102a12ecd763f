"""The commands of `wazi` that have commands: names and flags. `probe.cli` puts them beside the others.

What a command does is imported when it is called, as in `probe.cli`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_control = typer.Typer(help="The second opinion.", no_args_is_help=True, rich_markup_mode=None)
_config = typer.Typer(help="The settings.", no_args_is_help=True, rich_markup_mode=None)
_store = typer.Typer(help="The store.", no_args_is_help=True, rich_markup_mode=None)
_alert = typer.Typer(help="Alerts: who is told of events.", no_args_is_help=True, rich_markup_mode=None)
_redaction = typer.Typer(help="What was taken out of measurements.", no_args_is_help=True, rich_markup_mode=None)
_key = typer.Typer(help="The key that signs what is measured.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


@_control.command("serve")
def control_serve(
    context: typer.Context,
    listen: Annotated[str, typer.Option("--listen", help="Where to listen.", metavar="HOST:PORT")],
    tls: Annotated[
        str | None,
        typer.Option(
            "--tls", help="Where to serve over TLS besides, under any name, best on port 443.", metavar="HOST:PORT"
        ),
    ] = None,
    allow_private: Annotated[bool, typer.Option("--allow-private", help="Also ask private addresses.")] = False,
    give: Annotated[
        int, typer.Option("--give", help="Objects for one client, in MiB an hour; 32 times as much for all.", min=1)
    ] = 64,
) -> int:
    """Be the second opinion for probes elsewhere, until stopped."""
    from probe.commands.running import serve_control

    return serve_control(context.obj, listen, tls=tls, allow_private=allow_private, give=give)


@_config.command("check")
def config_check(context: typer.Context) -> int:
    """Check the settings and everything they name."""
    from probe.commands.looking import check_config

    return check_config(context.obj)


@_config.command("show")
def config_show(context: typer.Context, as_json: Json = False) -> int:
    """Show every setting and where it was written."""
    from probe.commands.looking import show_config

    return show_config(context.obj, as_json=as_json)


@_store.command("stats")
def store_stats(context: typer.Context, as_json: Json = False) -> int:
    """Tell how large the store is, how it grows, how long the disk lasts, and what is deleted next."""
    from probe.commands.storing import stats

    return stats(context.obj, as_json=as_json)


@_store.command("tidy")
def store_tidy(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
) -> int:
    """Delete now what [store] keep, keep_bodies and keep_size say; a probe that runs does it once an hour.

    Ends with 1 when not all of it could be done.
    """
    from probe.commands.storing import tidy

    return tidy(context.obj, dry_run=dry_run)


@_store.command("upgrade")
def store_upgrade(context: typer.Context) -> int:
    """Bring the store's tables up to date."""
    from probe.commands.looking import upgrade_store

    return upgrade_store(context.obj)


@_store.command("verify")
def store_verify(context: typer.Context, as_json: Json = False) -> int:
    """Go along the chain of what was measured, and name the first thing that was changed, removed or inserted.

    Ends with 0 when all fits, 1 when something does not.
    """
    from probe.commands.chaining import verify_store

    return verify_store(context.obj, as_json=as_json)


@_alert.command("test")
def alert_test(
    context: typer.Context,
    hook: Annotated[str | None, typer.Argument(help="The name of one alert, or of a hook.", metavar="HOOK")] = None,
    as_json: Json = False,
) -> int:
    """Send a test, plainly marked as one, by every alert, and say what came back.

    Ends with 0 when all were delivered, 1 when one was not, 2 when none is configured or the command was wrong.
    """
    from probe.commands.trying import try_alerts

    return try_alerts(context.obj, hook, as_json=as_json)


@_redaction.command("open")
def redaction_open(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="The id of a measurement, or how it begins.")],
) -> int:
    """Print the salt by which others can check what was taken out of this measurement, and of no other."""
    from probe.commands.redaction import open_redaction

    return open_redaction(context.obj, id)


@_redaction.command("check")
def redaction_check(
    file: Annotated[Path, typer.Argument(help="A bundle, an export, or any file with commitments.")],
    values: Annotated[list[str], typer.Argument(help="What is said to have been taken out; @FILE reads it.")],
    salt: Annotated[str, typer.Option("--salt", help="What `wazi redaction open` printed.", metavar="HEX")],
) -> int:
    """Check what somebody says was taken out of a measurement."""
    from probe.commands.redaction import check_redaction

    return check_redaction(salt, values, file)


@_key.command("show")
def key_show(context: typer.Context, as_json: Json = False) -> int:
    """Show the public part of the key that signs what is measured."""
    from probe.commands.chaining import show_key

    return show_key(context.obj, as_json=as_json)


@_key.command("replace")
def key_replace(context: typer.Context) -> int:
    """Put a new key in the place of the one that signs; the old one signs that it follows, and is destroyed."""
    from probe.commands.chaining import replace_key

    return replace_key(context.obj)


GROUPS: dict[str, typer.Typer] = {
    "control": _control,
    "config": _config,
    "store": _store,
    "alert": _alert,
    "redaction": _redaction,
    "key": _key,
}
"""In the order of `wazi --help`."""
