"""One file per format; a format is a function `write(rows, stream) -> count`."""

from measurements.exports import csv, jsonl
from measurements.exports.judged import Export

EXPORTS: dict[str, Export] = {
    "csv": csv.write,
    "jsonl": jsonl.write,
}
