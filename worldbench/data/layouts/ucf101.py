"""UCF101 and HMDB51: class folders, and lists of the videos that each of three folds trains on."""

import re
from collections.abc import Sequence
from pathlib import Path

from worldbench.data.files import contained, is_video_name
from worldbench.data.layouts.class_folders import of_classes, of_split
from worldbench.data.layouts.folder import existing_folder
from worldbench.data.layouts.listing import bad_line, read_text
from worldbench.data.manifest import Video, unique
from worldbench.errors import DataError

_UCF = re.compile(r"(train|test)list(\d+)\.txt")
_HMDB = re.compile(r"(?P<label>.+)_test_split(?P<fold>\d+)\.txt")
_HMDB_SPLITS = {"1": "train", "2": "test"}


def ucf101(
    annotations: str | Path,
    root: str | Path,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[Video, ...]:
    """Lists the videos of UCF101 (Soomro et al. 2012, arXiv 1212.0402).

    Lines of ``trainlist01.txt`` are ``<class>/<file> <number>``, those of ``testlist01.txt`` have
    no number. The label is the folder. Splits are called ``train1``, ``test1`` … ``test3``.

    Args:
        annotations: The folder ``ucfTrainTestlist``.
        root: The folder with one folder per class.
        split: One of them; without, every video once and without a split.
        classes: Keep only these.

    Returns:
        Labelled videos; listed files that are missing are excluded by the scan.

    Raises:
        DataError: If there is no list, a line is malformed, or a path leaves the root.
        UsageError: If there is no such class or split, with the alternatives.
    """
    base = existing_folder(root)
    found = []
    for file, name in _lists(annotations, _UCF, "trainlist01.txt"):
        called = f"{name[1]}{int(name[2])}"
        for number, line in enumerate(read_text(file).splitlines(), start=1):
            if not line.strip():
                continue
            path = re.sub(r"\s+\d+$", "", line.strip())
            if "/" not in path or not is_video_name(path):
                raise bad_line(file, number, line, "Class/v_Class_g01_c01.avi, and a number")
            found.append(Video(contained(path, base), label=path.split("/")[0], split=called))
    return _chosen(found, split, classes)


def hmdb51(
    annotations: str | Path,
    root: str | Path,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[Video, ...]:
    """Lists the videos of HMDB51 (Kuehne et al. 2011).

    Lines of ``<class>_test_split1.txt`` are ``<file> <use>``: 1 to train on, 2 to test on, 0 for
    neither. Files lie in ``<class>/``. Splits are called ``train1``, ``test1`` … ``test3``.

    Args:
        annotations: The folder ``testTrainMulti_7030_splits``.
        root: The folder with one folder per class.
        split: One of them; without, every video once and without a split.
        classes: Keep only these.

    Returns:
        Labelled videos; listed files that are missing are excluded by the scan.

    Raises:
        DataError: If there is no list, a line is malformed, or a path leaves the root.
        UsageError: If there is no such class or split, with the alternatives.
    """
    base = existing_folder(root)
    found = []
    for file, name in _lists(annotations, _HMDB, "brush_hair_test_split1.txt"):
        for number, line in enumerate(read_text(file).splitlines(), start=1):
            if not line.strip():
                continue
            video, _, use = line.strip().rpartition(" ")
            if use not in ("0", *_HMDB_SPLITS) or not is_video_name(video.strip()):
                raise bad_line(file, number, line, "file.avi, and 0, 1 or 2")
            path = contained(f"{name['label']}/{video.strip()}", base)
            used = f"{_HMDB_SPLITS[use]}{int(name['fold'])}" if use in _HMDB_SPLITS else None
            found.append(Video(path, label=name["label"], split=used))
    return _chosen(found, split, classes)


def _lists(
    annotations: str | Path, pattern: re.Pattern[str], example: str
) -> list[tuple[Path, re.Match[str]]]:
    """Finds the lists in a folder, by their names."""
    folder = existing_folder(annotations)
    matched = [(file, pattern.fullmatch(file.name)) for file in sorted(folder.iterdir())]
    found = [(file, match) for file, match in matched if match is not None]
    if not found:
        raise DataError(
            "no lists in the folder of annotations",
            seen=str(annotations),
            accepted=f"files called like {example}",
            fix="set data.annotations to the folder of lists that came with the data",
        )
    return found


def _chosen(
    videos: list[Video], split: str | None, classes: Sequence[str] | None
) -> tuple[Video, ...]:
    """Keeps a split; without one, folds overlap, and every video is listed once and for all."""
    kept = of_split(of_classes(videos, classes), split)
    if split is None:
        return unique({Video(video.path, label=video.label) for video in kept})
    return unique(kept)
