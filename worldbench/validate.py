"""What must hold of records that somebody contributes, before anybody believes a number in them.

Form, place and identity are checked for every record; what a record says of another one that it
replaces, if there is one; that means are those of the rows; and that a board can be made of what
has no other problem. What has to be run for is in :mod:`worldbench.remeasure`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench import record as records
from worldbench.agreement import means_apart
from worldbench.errors import UsageError, WorldbenchError
from worldbench.leaderboard.showing import unshowable
from worldbench.record_changes import moved
from worldbench.schema import Body, Record

_UNFINISHED = ".parts"
"""Suffix of the folders of runs that were cut short."""

_COLUMNS = ("trial", "cluster", "role")


@dataclass(frozen=True)
class Problem:
    """Something that does not hold.

    Attributes:
        path: The file.
        what: In words.
    """

    path: Path
    what: str

    def __str__(self) -> str:
        """Returns a line that no file's name or content can break out of."""
        said = f"{self.path}: {self.what}"
        return "".join(c if c.isprintable() else "?" for c in said)


def found_in(paths: Sequence[Path]) -> list[Path]:
    """Returns the record files that are meant: files as they are, folders with all below them.

    Raises:
        UsageError: If there is no such file or folder, or none in it.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(
                "no such record or folder",
                seen=path,
                accepted="records, or folders of them",
                fix="worldbench validate reports/records",
            )
        found += sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not found:
        raise UsageError(
            "no records there",
            seen=", ".join(map(str, paths)),
            accepted="folders written by `worldbench run`",
            fix="worldbench validate reports/records",
        )
    return list(dict.fromkeys(found))


def problems(
    paths: Iterable[Path], baseline: Path | None = None, roots: Sequence[Path] = ()
) -> list[Problem]:
    """Checks records without running anything.

    Args:
        paths: Record files.
        baseline: Folder of the records that they will stand among or replace.
        roots: Folders in which nothing else may lie; besides those of the records themselves.
    """
    found: list[Problem] = []
    read: dict[Path, Record] = {}
    for path in paths:
        try:
            read[path] = records.read(path)
        except WorldbenchError as error:
            found.append(Problem(path, error.one_line))
    for path, record in read.items():
        said = [*_identity(path, record.body), *_content(record.body), *_rows(path, record)]
        if baseline is not None:
            said += _against(path, record.body, baseline)
        found += [Problem(path, what) for what in said]
    found += _twice(read)
    found += _unread(read, roots)
    found += _strangers(read, roots)
    told = {problem.path for problem in found}
    sound = {path: record for path, record in read.items() if path not in told}
    found += [Problem(*each) for each in unshowable(sound)]
    return sorted(found, key=lambda problem: (str(problem.path), problem.what))


def new_among(paths: Iterable[Path], baseline: Path) -> list[Path]:
    """Returns the records that are not in the baseline as they are here."""
    found = []
    for path in paths:
        body = records.read(path).body
        place = _place(baseline, body)
        if not place.is_file() or place.read_bytes() != path.read_bytes():
            found.append(path)
    return found


def _place(root: Path, body: Body) -> Path:
    suite = body.suite
    return records.record_path(root, body.adapter, suite.name, suite.version, body.key)


def _identity(path: Path, body: Body) -> list[str]:
    suite, said = body.suite, list[str]()
    if records.folder_of(path, body) is None:
        said.append(f"it should stand at {_place(Path(), body)}")
    if records.UNRESOLVED in (body.adapter.revision, suite.version, suite.data.digest):
        if body.status != "failed":
            said.append(f"it is {body.status}, but does not say of what: {records.UNRESOLVED}")
        return said  # a cell that failed before its question was known has a key of its own
    key = records.record_key(
        body.adapter.revision,
        suite.name,
        suite.version,
        suite.metric_versions,
        suite.data.digest,
        suite.protocol,
    )
    if key != body.key:
        said.append(f"its key is {body.key[:12]}…, what it says of itself gives {key[:12]}…")
    return said


def _content(body: Body) -> list[str]:
    said, seen = [], set()
    for metric in body.metrics:
        if metric.identity in seen:
            said.append(f"it holds the metric {metric.label} twice")
        seen.add(metric.identity)
        if metric.value is None or metric.low is None or metric.high is None:
            continue
        if not metric.low <= metric.value <= metric.high:
            said.append(f"the value of {metric.label} lies outside of its interval")
    if not _printable(body.model_dump(mode="json")):
        said.append("it holds characters that cannot be printed")
    return said


def _rows(path: Path, record: Record) -> list[str]:
    body = record.body
    if body.trials is None:
        return ["it was measured, but names no rows"] if body.status == "ok" else []
    if body.trials != f"{path.stem}.parquet":
        return [f"its rows should be {path.stem}.parquet"]
    rows = path.with_suffix(".parquet")
    if not rows.is_file():
        return ["its rows are missing"]
    if records.file_digest(rows) != record.provenance.trials_sha256:
        return ["its rows are not those that it was made from"]
    from pyarrow import ArrowException
    from pyarrow import parquet as pq

    try:
        table = pq.read_table(rows)
        scored = table.to_pylist()
    except (ArrowException, OSError, ValueError, OverflowError):
        return ["its rows are no Parquet file, or hold what Python does not"]
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        return [f"its rows have no column {name}" for name in missing]
    apart, _ = means_apart(body, scored)
    return [line.strip() for line in apart]


def _against(path: Path, body: Body, baseline: Path) -> list[str]:
    """Equal keys are one question to one model: the answer may not have moved."""
    place = _place(baseline, body)
    if not place.is_file() or place.resolve() == path.resolve():
        return []
    try:
        before = records.read(place).body
    except WorldbenchError:
        return []  # what cannot be read may be replaced by anything that can
    return [
        f"it replaces a record of the same model and question, but {change.metric or 'its status'} "
        f"is {change.after} and was {change.before}"
        for change in moved(before, body)
        if before.status != "failed"
    ]


def _twice(read: dict[Path, Record]) -> list[Problem]:
    first: dict[str, Path] = {}
    found = []
    for path, record in read.items():
        key = record.body.key
        if key in first:
            found.append(Problem(path, f"it has the key of {first[key]}"))
        first.setdefault(key, path)
    return found


def _unread(read: Mapping[Path, Record], roots: Iterable[Path]) -> list[Problem]:
    """Finds records that the board of a folder, or of the one it lies in, does not look for."""
    found = []
    for root in (root.resolve() for root in roots if root.is_dir()):
        own = [path for path in read if root in path.resolve().parents]
        homes = {path: records.folder_of(path, read[path].body) for path in own}
        known = {home for home in homes.values() if home is not None}
        meant = root
        if known and known <= {*root.parents}:  # an adapter's folder, or one below it
            meant = max(known, key=lambda home: len(home.parts))
        found += [
            Problem(path, f"no board reads it: it stands in the records folder {home}, not {meant}")
            for path, home in homes.items()
            if home not in (None, meant)
        ]
    return found


def _strangers(read: Iterable[Path], roots: Iterable[Path]) -> list[Problem]:
    """Finds files that belong to no record, and what runs have not finished."""
    folders = [root for root in roots if root.is_dir()]
    alone = (path.parent for path in read if not any(f in path.parents for f in folders))
    files = [file for folder in folders for file in _below(folder)]
    files += [file for folder in dict.fromkeys(alone) for file in folder.iterdir()]
    files = list(dict.fromkeys(files))
    return [Problem(file, "it belongs to no record") for file in files if not _belongs(file)]


def _below(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        if path.is_dir() and not path.is_symlink() and path.suffix != _UNFINISHED:
            yield from _below(path)
        else:
            yield path


def _belongs(file: Path) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    if file.suffix == ".parquet":
        return file.with_suffix(".json").is_file()
    return file.suffix == ".json" or (file.suffix == ".lock" and not file.stat().st_size)


def _printable(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_printable(part) for item in value.items() for part in item)
    if isinstance(value, list):
        return all(map(_printable, value))
    return not isinstance(value, str) or value.isprintable()
