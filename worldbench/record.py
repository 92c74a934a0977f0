"""Reading and writing records: atomic, keyed by content, refused when of another schema."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import ValidationError

from worldbench.errors import EnvironmentFault, RecordError
from worldbench.limits import DEEPEST, too_deep
from worldbench.schema import SCHEMA_VERSION, AdapterCard, Body, Record, digest

UNRESOLVED = "unresolved"
"""Stands in for the revision of an adapter that failed before it had one."""

_PLACES = "*/*/*/*.json"
"""Where records stand below their folder, see :func:`record_path`."""


def record_key(
    adapter_revision: str,
    suite: str,
    version: str,
    metric_versions: Mapping[str, str],
    data_digest: str,
    protocol: Mapping[str, Any],
) -> str:
    """Returns the digest that names a record; equal keys mean that nothing needs running again."""
    return digest(
        [adapter_revision, suite, version, dict(metric_versions), data_digest, dict(protocol)]
    )


def record_path(root: Path, adapter: AdapterCard, suite: str, version: str, key: str) -> Path:
    """Returns ``<root>/<adapter>/<revision12>/<suite>@<version>/<key12>.json``."""
    return root / adapter.name / adapter.revision[:12] / f"{suite}@{version}" / f"{key[:12]}.json"


def write_atomic(path: Path, content: bytes) -> None:
    """Writes a file so that a reader or a crash sees the old content or the new, never a part.

    Raises:
        EnvironmentFault: If the folder cannot be written or the disk is full.
    """
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Writes files of which none is replaced before all are on the disk, each atomically.

    Raises:
        EnvironmentFault: If a folder cannot be written or the disk is full: nothing was replaced.
    """
    staged: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            with _told_of(path):
                staged[path] = _staged(path, content)
        for path, written in staged.items():
            with _told_of(path):
                written.replace(path)
    finally:
        for written in staged.values():
            written.unlink(missing_ok=True)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def _staged(path: Path, content: bytes) -> Path:
    """Writes what is to become a file under another name beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files private; results are for the group, as the umask says.
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def unwritable(path: Path, error: OSError) -> EnvironmentFault:
    """Builds the error for a place that cannot be written, for the caller to raise."""
    return EnvironmentFault(
        f"cannot write {path}",
        seen=error.strerror or str(error),
        accepted="a writable folder with free space",
        fix="choose another with records=DIR, out=DIR, --out DIR or, for the cache, "
        "WORLDBENCH_CACHE; or free space. What is finished is kept and the same command resumes",
    )


@contextmanager
def locked(path: Path, refuse: Callable[[OSError], EnvironmentFault]) -> Iterator[None]:
    """Keeps concurrent processes apart while one makes ``path``; the others wait.

    Args:
        path: What is made; the lock file stands beside it, in a folder made if need be.
        refuse: Builds the error for a folder that cannot be written.

    Raises:
        EnvironmentFault: What ``refuse`` built.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire()
    except OSError as error:
        raise refuse(error) from error
    try:
        yield
    finally:
        lock.release()


def write(path: Path, record: Record, rows: bytes | None = None) -> None:
    """Writes a record atomically, together with its rows where they are new."""
    beside = {} if rows is None else {path.with_name(str(record.body.trials)): rows}
    write_together({**beside, path: record.to_json().encode()})


def read(path: Path) -> Record:
    """Reads and validates one record.

    Raises:
        RecordError: If the file is not JSON, has another schema version, or does not validate.
    """
    try:
        raw = _parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(
            f"cannot read record {path}",
            seen=str(error),
            accepted="a JSON record written by `worldbench run`",
            fix=f"restore it from version control, or delete it and run the cell again: {path}",
        ) from error
    version = raw.get("schema") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"record {path} has an unknown schema version",
            seen=version,
            accepted=str(SCHEMA_VERSION),
            fix="install the worldbench-suite release that wrote it, or run the cell again",
        )
    try:
        return Record.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecordError(
            f"record {path} is not valid",
            seen=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            accepted=f"the layout of schema {SCHEMA_VERSION}",
            fix="run the cell again; records are generated, never edited",
        ) from error


def _parsed(text: str) -> Any:
    """Parses JSON as its standard has it: Python's own reader would take NaN and Infinity."""
    raw = json.loads(text, parse_constant=_refuse)
    if too_deep(raw):
        raise ValueError(f"nested deeper than {DEEPEST} lists and objects")
    return raw


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def read_all(root: Path) -> Iterator[tuple[Path, Record]]:
    """Yields every record below ``root`` in path order.

    Raises:
        RecordError: For an unreadable record, or one whose place does not match its content: also
            one that is higher or deeper than the records of this folder are looked for.
    """
    _refuse_other_depths(root)
    for path in sorted(root.glob(_PLACES)):
        record = read(path)
        suite = record.body.suite
        expected = record_path(
            root, record.body.adapter, suite.name, suite.version, record.body.key
        )
        if path != expected:
            raise RecordError(
                "a record does not stand where its content says",
                seen=path,
                accepted=str(expected),
                fix="move it there, or run the cell again",
            )
        yield path, record


def _refuse_other_depths(root: Path) -> None:
    """Refuses records that would not be read, as when the folder above or below theirs is given."""
    for path in sorted({*root.rglob("*.json")} - {*root.glob(_PLACES)}):
        try:
            body = read(path).body
        except RecordError:  # boards and lists of media may lie in the same folder
            continue
        folder = folder_of(path, body)
        away = "move the record there, or away"
        raise RecordError(
            f"a record stands where none of {root} is looked for",
            seen=path,
            accepted=f"{root}/<adapter>/<revision12>/<suite>@<version>/<key12>.json",
            fix=away if folder is None else f"--records {folder}, if that was meant; or {away}",
        )


def folder_of(path: Path, body: Body) -> Path | None:
    """Returns the records folder that a record stands in; None if not where its body says."""
    suite = body.suite
    place = record_path(Path(), body.adapter, suite.name, suite.version, body.key).parts
    whole = path.resolve()
    return whole.parents[len(place) - 1] if whole.parts[-len(place) :] == place else None


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
