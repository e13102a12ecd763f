"""What makes a folder of data fit to be handed on: a description for programs, one for people, and check sums.

`datapackage.json` follows Frictionless' Data Package and Table Schema (version 1); `SHA256SUMS` is what
`sha256sum -c SHA256SUMS` reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from measurements.exports.judged import AnyFormat, Field, FolderFormat, Format

_SUMS, _README, _PACKAGE = "SHA256SUMS", "README.md", "datapackage.json"
_MEDIA = {"csv": "text/csv", "jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}


def dress(folder: Path, name: str, form: AnyFormat, *, rows: int, made: float, software: str, chosen: str) -> None:
    """Add the three files to a folder of data; `made` is UTC seconds, `chosen` says which rows were asked for."""
    files = [path.relative_to(folder).as_posix() for path in _files(folder)]
    told = {"rows": rows, "made": _iso(made), "software": software, "chosen": chosen}
    package = _package(folder, name, form, files, told)
    (folder / _PACKAGE).write_text(json.dumps(package, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / _README).write_text(_readme(name, form, told), encoding="utf-8")
    sums = [f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    (folder / _SUMS).write_text("".join(sums), encoding="utf-8")


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.rglob("*") if path.is_file()))


def _package(folder: Path, name: str, form: AnyFormat, files: list[str], told: Mapping[str, object]) -> dict[str, Any]:
    ending = _ending(form)
    in_names = form.in_names if isinstance(form, FolderFormat) else ()
    resource: dict[str, Any] = {
        "name": "verdicts" if name in ("csv", "parquet") else "measurements",
        "path": files[0] if len(files) == 1 else files,
        "format": ending,
        "mediatype": _MEDIA.get(ending, "application/octet-stream"),
        "schema": {"fields": [_field(key, field, ending) for key, field in form.fields.items() if key not in in_names]},
    }
    if in_names:  # no word of Frictionless' own: a program that reads the files finds in them what the schema says
        resource["partitions"] = [_field(key, form.fields[key], ending) for key in in_names]
    if len(files) == 1:
        resource |= {"bytes": (folder / files[0]).stat().st_size, "hash": f"sha256:{_digest(folder / files[0])}"}
    if files and files[0].endswith(".gz"):
        resource["compression"] = "gz"
    if ending == "csv":
        dialect = {"delimiter": ",", "quoteChar": '"', "doubleQuote": True, "lineTerminator": "\r\n", "header": True}
        resource |= {"profile": "tabular-data-resource", "encoding": "utf-8", "dialect": dialect}
        resource["schema"] |= {"missingValues": [""], "primaryKey": ["id", "rules_version"]}
    return {
        "profile": "data-package",
        "name": f"wazi-{name}",
        "title": f"Measurements and verdicts of Wazi ({name})",
        "created": told["made"],
        "sources": [{"title": str(told["software"])}],
        "description": f"{told['rows']} rows; {told['chosen']}",
        "resources": [resource] if files else [],
    }


def _field(name: str, field: Field, ending: str) -> dict[str, str]:
    """Describe a column; a cell of CSV holds no array, only its items with spaces between them."""
    kind = "string" if ending == "csv" and field.kind == "array" else field.kind
    told = {"name": name, "type": kind, "description": field.meaning}
    return {**told, "format": "any"} if kind == "datetime" else told


def _ending(form: AnyFormat) -> str:
    return form.file.split(".")[1] if isinstance(form, Format) else form.ending


def _readme(name: str, form: AnyFormat, told: Mapping[str, object]) -> str:
    lines = [
        f"# Measurements and verdicts of Wazi ({name})",
        "",
        f"{told['rows']} rows, written {told['made']} by {told['software']}; {told['chosen']}.",
        "",
        form.about,
        "",
        "| column | type | meaning |",
        "|---|---|---|",
        *(f"| `{key}` | {field.kind} | {field.meaning} |" for key, field in form.fields.items()),
        "",
        "A verdict is an opinion by one version of Wazi's rules about a measurement, which is a fact. `blocked` and",
        "`throttled` need two proofs: the site is alive, and something between does it. `unreachable` is an anomaly,",
        "and accuses nobody.",
        "",
        "`datapackage.json` describes the files for programs (Frictionless Data Package). To check them:",
        "",
        "    sha256sum -c SHA256SUMS",
        "",
    ]
    return "\n".join(lines)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
