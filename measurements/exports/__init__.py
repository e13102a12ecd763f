"""One file per format; a format is a function `write(rows, stream) -> count`, or one that fills a folder."""

from measurements.exports import csv, jsonl, ooni, parquet
from measurements.exports.columns import FIELDS
from measurements.exports.judged import AnyFormat, FolderFormat, Format

EXPORTS: dict[str, AnyFormat] = {
    "csv": Format(csv.write, "verdicts.csv", FIELDS, whole=False, about=csv.ABOUT),
    "jsonl": Format(jsonl.write, "measurements.jsonl.gz", jsonl.FIELDS, about=jsonl.ABOUT),
    "ooni": Format(ooni.write, "measurements.jsonl.gz", ooni.FIELDS, about=ooni.ABOUT),
    "parquet": FolderFormat(parquet.write, "parquet", parquet.FIELDS, in_names=parquet.IN_NAMES, about=parquet.ABOUT),
}
