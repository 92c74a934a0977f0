"""``python -m worldbench.suites.show.confusion OUT RECORD…``: which classes are mixed up.

One figure per record of the suite ``probe``, read off the rows beside it; no model is asked.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from worldbench import record as records
from worldbench.errors import RecordError, WorldbenchError
from worldbench.parts import read_rows
from worldbench.record import write_atomic
from worldbench.schema import Record
from worldbench.suites.show import svg

_PROGRAM = "python -m worldbench.suites.show.confusion"
_TOP, _LEFT, _LINE = 96, 200, 22
_MOST = 60  # classes beyond which squares are too small to be told apart


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the figures and lists them; returns 0, or an error's exit code."""
    parser = argparse.ArgumentParser(prog=_PROGRAM, description="Confusion matrices of probes.")
    parser.add_argument("out", type=Path, help="the folder for the figures")
    parser.add_argument("records", type=Path, nargs="+", metavar="RECORD", help="records of probe")
    given = parser.parse_args(arguments)
    try:
        for path in given.records:
            record = records.read(path)
            adapter, data = record.body.adapter.name, record.body.suite.data.name
            out = given.out / f"{adapter}-{data}-{record.body.key[:12]}.svg"
            write_atomic(out, figure(record, path).encode())
            print(out)
    except WorldbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def figure(record: Record, path: Path) -> str:
    """Draws the matrix of a record's headline: a row per class, darker where more is answered.

    Args:
        record: Of the suite ``probe``.
        path: Where it was read, beside its rows.

    Raises:
        RecordError: If it holds no matrix, its rows are not its own, or there are too many classes.
    """
    counts = matrix(record, path)
    classes = sorted({label for pair in counts for label in pair})
    if len(classes) > _MOST:
        raise RecordError(
            "too many classes for a figure",
            seen=len(classes),
            accepted=f"at most {_MOST}",
            fix="read the rows of role `confusion` instead",
        )
    body, headline = record.body, record.body.headline
    right = "" if headline is None or headline.value is None else f"{100 * headline.value:.1f} %"
    probe = "" if headline is None else str(headline.factors["probe"])
    side = min(40, (svg.WIDTH - _LEFT - 60) / len(classes))
    height = _TOP + _LINE + side * len(classes) + 16
    totals = Counter[str]()
    for (label, _), count in counts.items():
        totals[label] += count
    parts = [svg.text(_LEFT, _TOP - 8, "answered, in the order of the rows", "head")]
    for i, label in enumerate(classes):
        y = _TOP + i * side
        parts.append(svg.text(_LEFT - 8, y + side / 2 + 4, label, "said", anchor="end"))
        for j, answer in enumerate(classes):
            kind = "right" if i == j else "wrong"
            share = counts[label, answer] / totals[label] if totals[label] else 0.0
            parts += _square(_LEFT + j * side, y, side, kind, share, counts[label, answer])
    return svg.document(
        height,
        f"{body.adapter.name} on {body.suite.data.name}: {right} by the {probe} probe",
        "Each row shares out the clips of one class among the answers; a full square is all of "
        f"them. {sum(counts.values())} clips.",
        parts,
    )


def _square(
    x: svg.Pixels, y: svg.Pixels, side: svg.Pixels, kind: str, share: float, count: int
) -> list[str]:
    """Draws one pair: how strong its colour is tells the share, a number the clips."""
    cell = svg.rect(x, y, side - 2, side - 2, "band")
    if not count:
        return [cell]
    filled = svg.rect(x, y, side - 2, side - 2, kind, f' fill-opacity="{0.15 + 0.85 * share:.2f}"')
    told = svg.text(x + side / 2 - 1, y + side / 2 + 4, count, "said", anchor="middle")
    return [cell, filled, told if side >= 18 else ""]


def matrix(record: Record, path: Path) -> Counter[tuple[str, str]]:
    """Reads how many clips of a class were taken for which.

    Raises:
        RecordError: If there is no such thing, or the rows are not the record's own.
    """
    name = record.body.trials
    rows_file = path.with_name(name) if name is not None else path
    own = record.provenance.trials_sha256
    if name is None or not rows_file.is_file() or records.file_digest(rows_file) != own:
        raise RecordError(
            f"{path} has no rows of its own beside it",
            seen=f"{record.body.status}, rows {name}",
            accepted="a record of suite=probe that is ok",
            fix="run the cell again",
        )
    found: Counter[tuple[str, str]] = Counter()
    for row in read_rows(rows_file):
        if row["role"] == "confusion":
            found[row["label"], row["predicted"]] += row["count"]
    if not found:
        raise RecordError(
            f"{path} holds no confusion matrix",
            seen=f"suite {record.body.suite.name}",
            accepted="a record of suite=probe",
            fix="worldbench run suite=probe",
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
