"""The `wazi` command: names, flags and exit codes.

What a command does is in `probe.commands`, imported when it is called, so that `wazi --help` answers at
once. Commands that have commands are in `probe.cli_groups`. However a command ends, it ends with a code and at
most a sentence, never with a traceback.
"""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from probe.cli_groups import GROUPS, Json
from probe.commands.console import (
    INTERRUPTED,
    CannotWrite,
    Common,
    ReaderLeft,
    Refusal,
    leave,
    open_what_is_closed,
    say,
)
from probe.version import software

OUR_MISTAKE = 70  # EX_SOFTWARE of sysexits.h
CANNOT_WRITE = 74  # EX_IOERR
BROKEN_PIPE = 141  # 128 + SIGPIPE, as a shell has it

app = typer.Typer(
    name="wazi",
    help="A witness for the open internet: measures whether sites can be reached, and proves it when something "
    "blocks them.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)

Bodies = Annotated[bool, typer.Option("--bodies", help="Include the pages themselves.")]
Target = Annotated[str | None, typer.Option("--target", help="Only this URL or host.", metavar="URL")]
OutcomeName = Annotated[str | None, typer.Option("--outcome", help="Only this outcome, such as blocked.")]
Since = Annotated[str | None, typer.Option("--since", help="From then on: a date, a time, or 24h ago.", metavar="WHEN")]
Until = Annotated[str | None, typer.Option("--until", help="Before then: a date, a time, or 1h ago.", metavar="WHEN")]
SkipBadLines = Annotated[
    bool | None, typer.Option("--skip-bad-lines", help="Leave out the bad lines of a target list.", show_default=False)
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(software())
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option("--config", help="The settings file.", metavar="FILE")] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more, and what went wrong inside.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    context.obj = Common(config, verbose)


@app.command()
def check(
    context: typer.Context,
    urls: Annotated[list[str] | None, typer.Argument(help="What to ask about; - reads URLs from stdin.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A list of URLs.", metavar="LIST")] = None,
    as_json: Json = False,
    bodies: Bodies = False,
    nettest: Annotated[
        str, typer.Option("--nettest", help="What to measure: dns, tcp, web, quic, throttling or trace.")
    ] = "web",
    resolver: Annotated[
        str | None, typer.Option("--resolver", help="The resolver to test: system or ADDRESS:PORT.")
    ] = None,
    trusted_resolver: Annotated[
        list[str] | None, typer.Option("--trusted-resolver", help="A DoH URL to compare with; may be repeated.")
    ] = None,
    witness: Annotated[
        list[str] | None, typer.Option("--witness", help="A harmless site to compare with; may be repeated.")
    ] = None,
    control: Annotated[
        list[str] | None, typer.Option("--control", help="The URL of a second opinion; may be repeated.")
    ] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="The authorities to trust (PEM).")] = None,
    bogons: Annotated[Path | None, typer.Option("--bogons", help="The list of private addresses (CSV).")] = None,
    ipv6: Annotated[bool | None, typer.Option("--ipv6/--no-ipv6", help="Whether to use IPv6.")] = None,
    timeout: Annotated[str | None, typer.Option("--timeout", help="The longest a measurement may take.")] = None,
    concurrency: Annotated[str | None, typer.Option("--concurrency", help="How many at once.")] = None,
    pcap: Annotated[
        Path | None, typer.Option("--pcap", help="Keep a trace's own packets here; needs raw packets.", metavar="FILE")
    ] = None,
    skip_bad_lines: SkipBadLines = None,
) -> int:
    """Measure now and say what is found, without keeping it.

    Ends with 0 when all is accessible (or down, or refused by the site itself), 1 when something is blocked,
    throttled or unreachable, 3 when something could not be judged, 2 when the command was wrong.
    """
    from probe.commands.checking import CheckOptions, check

    network = {
        "resolver": resolver,
        "trusted_resolvers": trusted_resolver or None,
        "witnesses": witness or None,
        "ca_file": None if ca_file is None else str(ca_file),
        "bogons": None if bogons is None else str(bogons),
        "ipv6": ipv6,
        "measurement_timeout": timeout,
        "concurrency": concurrency,
        "skip_bad_lines": skip_bad_lines,
    }
    options = CheckOptions(urls or (), file, nettest, as_json, bodies, network, control or (), pcap)
    return check(context.obj, options)


@app.command()
def run(context: typer.Context, skip_bad_lines: SkipBadLines = None) -> int:
    """Measure on a schedule and keep it, until stopped."""
    from probe.commands.running import run

    return run(context.obj, skip_bad_lines=skip_bad_lines)


@app.command()
def status(
    context: typer.Context,
    as_json: Json = False,
    health: Annotated[bool, typer.Option("--health", help="Only end with 0 when the probe is alive, else 1.")] = False,
) -> int:
    """Tell what runs and what was measured lately."""
    from probe.commands.looking import status

    return status(context.obj, as_json=as_json, health=health)


@app.command("list")
def list_(
    context: typer.Context,
    target: Target = None,
    outcome: OutcomeName = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", help="At most so many, the newest.", min=1)] = 50,
    as_json: Json = False,
) -> int:
    """List what was measured, the newest first."""
    from probe.commands.looking import list_measurements
    from probe.commands.which import Which

    return list_measurements(context.obj, Which(target, outcome, since), limit=limit, as_json=as_json)


@app.command()
def show(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="The id of a measurement, or how it begins.")],
    as_json: Json = False,
    bodies: Bodies = False,
) -> int:
    """Show one measurement with all its evidence."""
    from probe.commands.looking import show

    return show(context.obj, id, as_json=as_json, bodies=bodies)


@app.command()
def events(
    context: typer.Context,
    id: Annotated[str | None, typer.Argument(help="The id of an event, or how it begins: shows all of it.")] = None,
    since: Since = None,
    target: Target = None,
    status: Annotated[
        str | None, typer.Option("--status", help="Only these: unconfirmed, confirmed, closed or withdrawn.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    limit: Annotated[int, typer.Option("--limit", help="At most so many, the newest.", min=1)] = 50,
    as_json: Json = False,
) -> int:
    """List what changed and is not over, the newest first; or show one event with its timeline and witnesses."""
    from probe.commands.standing import Wanted, list_events, show_event

    if id is not None:
        return show_event(context.obj, id, as_json=as_json)
    return list_events(context.obj, Wanted(since, target, status, every), limit=limit, as_json=as_json)


@app.command()
def judge(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(help="Wazi's JSON lines or OONI's; plain, .gz or .zst; - is stdin.")],
    as_json: Json = False,
    bodies: Bodies = False,
    bogons: Annotated[Path | None, typer.Option("--bogons", help="The list of private addresses (CSV).")] = None,
) -> int:
    """Judge measurements from files by this version's rules.

    Ends as check does; a line that cannot be read is named on stderr and counts as 3.
    """
    from probe.commands.judging import judge_files

    return judge_files(context.obj, files, as_json=as_json, bodies=bodies, bogons=bogons)


@app.command()
def detect(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="Votes as CSV; plain, .gz or .zst; - is stdin.", metavar="VOTES.csv")],
    as_json: Json = False,
    false_alarms_per_week: Annotated[
        float, typer.Option("--false-alarms-per-week", help="How many false alarms may come, on average.", metavar="F")
    ] = 1.0,
    all_events: Annotated[bool, typer.Option("--all", help="Also what later votes cleared.")] = False,
) -> int:
    """Find events (what was blocked, where, from when until when) in votes from anywhere.

    The first line names the columns: time,probe,country,asn,target,layer,blocked. Ends with 1 when there is an event,
    0 when there is none, 3 when there is none and lines could not be read, 2 when the command or the file was wrong.
    """
    from probe.commands.detecting import detect_votes

    return detect_votes(file, as_json=as_json, false_alarms_per_week=false_alarms_per_week, all_events=all_events)


@app.command()
def export(
    context: typer.Context,
    form: Annotated[str, typer.Option("--format", help="csv, jsonl, ooni, parquet or bundle.")],
    events: Annotated[
        list[str] | None,
        typer.Argument(help="Of a bundle: ids of events, or how they begin.", metavar="[EVENT...]", show_default=False),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", help="A file (.gz and .zst compress), or FOLDER/, instead of stdout.", metavar="FILE"),
    ] = None,
    since: Since = None,
    until: Until = None,
    after: Annotated[
        str | None, typer.Option("--after", help="Go on after this measurement, which an export ended with.")
    ] = None,
    target: Target = None,
    country: Annotated[
        list[str] | None, typer.Option("--country", help="Only probes there, such as ET; may be repeated.")
    ] = None,
    asn: Annotated[
        list[str] | None, typer.Option("--asn", help="Only this network, such as AS24757; may be repeated.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", help="Only targets of this code, such as NEWS; may be repeated.")
    ] = None,
    outcome: OutcomeName = None,
    rules_version: Annotated[
        int | None, typer.Option("--rules-version", help="What these rules said, not the latest that judged.", min=0)
    ] = None,
) -> int:
    """Write what was measured in a format that others read, the oldest first; or the evidence on events (bundle).

    A file or folder gets its name only when it is whole. A bundle is one file that `wazi verify` and other programs
    check without the store; of it, --output and events are all that can be said.
    """
    from probe.commands.exporting import export
    from probe.commands.which import Which

    which = Which(
        target, outcome, since, until, tuple(country or ()), tuple(asn or ()), tuple(category or ()), rules_version
    )
    if form == "bundle":
        from probe.commands.bundling import export_bundle

        return export_bundle(context.obj, events or (), output, chosen=which != Which() or after is not None)
    if events:
        raise Refusal(f"--format {form} takes no events ({events[0]}): choose by --since, --target and so on")
    return export(context.obj, which, form=form, output=output, after=after)


@app.command()
def verify(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(help="Evidence bundles; - is stdin.", metavar="FILE...")],
    as_json: Json = False,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", help="Whose signature it must be: a fingerprint or a PEM file; any of several.", metavar="KEY"
        ),
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option("--checkpoint", help="Checkpoints that were published, which the chain must fit.", metavar="FILE"),
    ] = None,
    timestamp_root: Annotated[
        list[str] | None,
        typer.Option("--timestamp-root", help="A root that time stamps must lead to (PEM).", metavar="FILE"),
    ] = None,
) -> int:
    """Check evidence bundles from what is in them alone, offline; nothing is unpacked or executed.

    Names the first record that was changed, removed, inserted or reordered, and judges each again by the rules of this
    build. Ends with 0 when all of it stands, 1 when something was altered or the rules say otherwise, 3 when nothing is
    wrong and something could not be checked (it says what), 2 when it is no bundle or the command was wrong.
    """
    from probe.commands.verifying import Aside, verify_files

    return verify_files(files, Aside(key or (), checkpoint or (), timestamp_root or ()), as_json=as_json)


@app.command()
def report(
    context: typer.Context,
    events: Annotated[list[str], typer.Argument(help="Ids of events, or how they begin.", metavar="EVENT...")],
    html: Annotated[
        bool, typer.Option("--html", help="As one self-contained HTML file, which is the default.")
    ] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="As PDF.")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            help="The file, or - for stdout; without it one named after the event, or stdout if that is no terminal.",
            metavar="FILE",
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option("--language", help="en or fr; without it as LC_ALL or LANG say.", metavar="L"),
    ] = None,
) -> int:
    """Write a page about events that a journalist can read and an expert can check.

    What happened, where, from when until when, how we know, what else was considered, the timeline, the witnesses.
    """
    from probe.commands.reporting import Wish, report

    return report(context.obj, events, Wish(html=html, pdf=pdf, output=output, language=language))


@app.command("import")
def import_(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(help="Wazi's JSON lines or OONI's; plain, .gz or .zst; - is stdin.")],
) -> int:
    """Store measurements from files: Wazi's own, or OONI's.

    What is stored already is skipped, so that a second run goes on where the first was interrupted. Ends with 0 when
    all is stored, 3 when some lines could not be read, judged or stored (each is named on stderr, and the rest goes
    on) or there was nothing, 74 when the store fails, 2 when the command was wrong.
    """
    from probe.commands.importing import import_files

    return import_files(context.obj, files)


def main() -> None:
    """Run the command and end the process with its exit code."""
    open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a poor locale must not end a run
    code = _run()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            code = code or _cannot_write(error.strerror)
            leave(stream)
    sys.exit(code)


def _run() -> int:
    try:
        return int(app(standalone_mode=False, prog_name="wazi") or 0)
    except Refusal as refusal:
        return _complain(str(refusal), refusal.code)
    except typer.TyperException as error:
        return _complain(error.format_message())
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except ReaderLeft:
        leave(sys.stdout)
        return BROKEN_PIPE
    except CannotWrite as error:
        leave(sys.stdout)
        return _cannot_write(str(error))
    except Exception as error:
        if isinstance(error, OSError) and traceback.extract_tb(error.__traceback__)[-1].name == "echo":  # typer's help
            leave(sys.stdout)
            return _cannot_write(error.strerror)
        from probe.commands.logs import struck

        if not {"-v", "--verbose"} & set(sys.argv):
            words = f"an error that should not be: {type(error).__name__}: {error} (wazi -v says more)"
            return _complain(struck(words), OUR_MISTAKE)
        with suppress(OSError):
            sys.stderr.write(struck(traceback.format_exc()))
        return OUR_MISTAKE


def _cannot_write(why: str | None) -> int:
    return _complain(f"the result cannot be written to stdout: {why}", CANNOT_WRITE)


def _complain(text: str, code: int = 2) -> int:
    for line in text.splitlines() or [""]:
        say(line)
    return code


if __name__ == "__main__":
    main()
