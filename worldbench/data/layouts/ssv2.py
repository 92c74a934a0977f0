"""Something-Something v2: JSON annotations, and one numbered file per video."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worldbench.data.files import contained
from worldbench.data.layouts.class_folders import of_classes
from worldbench.data.layouts.folder import videos_below
from worldbench.data.layouts.listing import read_text
from worldbench.data.manifest import Video, unique
from worldbench.errors import DataError

_PREFIX = "something-something-v2-"


def ssv2(
    annotations: str | Path,
    root: str | Path,
    *,
    splits: Sequence[str] = ("train", "validation"),
    classes: Sequence[str] | None = None,
) -> tuple[Video, ...]:
    """Lists the videos of Something-Something v2.

    A video's label is its template without brackets (``Holding [something]`` is of the class
    ``Holding something``), which must be a key of ``labels.json``. Files are ``<id>`` with any
    video suffix, anywhere below ``root``; absent ones are listed as ``<id>.webm`` and excluded by
    the scan.

    Args:
        annotations: Folder with ``labels.json`` and ``<split>.json``, with or without the prefix
            ``something-something-v2-`` of the older release.
        root: The data folder.
        splits: Which annotation files to read.
        classes: Keep only these labels.

    Returns:
        Labelled videos with their splits.

    Raises:
        DataError: If an annotation file is missing or malformed, a template is no known class,
            a file name occurs twice below the root, or ids repeat.
        UsageError: If there is no such class, with the alternatives.
    """
    known = _read(annotations, "labels", dict)
    present: dict[str, str] = {}
    for path in videos_below(root):
        stem = Path(path).stem
        if stem in present:
            raise DataError(
                f"two files for video id {stem!r}",
                seen=f"{present[stem]}, {path}",
                accepted="one file per id below the root",
                fix="remove one of them, or set the root to the folder of one copy",
            )
        present[stem] = path
    videos = []
    for split in splits:
        for item in _read(annotations, split, list):
            try:
                name, label = str(item["id"]), item["template"].translate(_BRACKETS)
            except (KeyError, TypeError, AttributeError) as error:
                raise _malformed(annotations, split, item, '{"id": …, "template": …}') from error
            if label not in known:
                raise _malformed(annotations, split, item, "a template that labels.json lists")
            path = contained(present.get(name, f"{name}.webm"), root)
            videos.append(Video(path, label=label, split=split))
    return unique(of_classes(videos, classes))


_BRACKETS = str.maketrans("", "", "[]")


def _read(annotations: str | Path, name: str, kind: type) -> Any:
    """Reads one annotation file under its new or its old name."""
    folder = Path(annotations)
    old = folder / f"{_PREFIX}{name}.json"
    file = old if old.is_file() else folder / f"{name}.json"
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise _malformed(annotations, name, error, "JSON") from error
    if not isinstance(content, kind):
        raise _malformed(annotations, name, type(content).__name__, f"a JSON {kind.__name__}")
    return content


def _malformed(annotations: str | Path, name: str, seen: object, accepted: str) -> DataError:
    return DataError(
        f"malformed Something-Something annotation file {name}.json",
        seen=f"{seen} in {annotations}",
        accepted=accepted,
        fix="fetch the annotations of the release again, and point `annotations` at their folder",
    )
