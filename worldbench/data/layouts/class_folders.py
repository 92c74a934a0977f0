"""One folder per class, with or without a folder per split above."""

from collections.abc import Sequence
from pathlib import Path

from worldbench.data.layouts.folder import videos_below
from worldbench.data.manifest import Video, unique
from worldbench.errors import DataError, unknown_name

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
"""Folder names that are taken for splits when every folder at the top bears one of them."""


def class_folders(
    root: str | Path, *, classes: Sequence[str] | None = None, split: str | None = None
) -> tuple[Video, ...]:
    """Lists ``root/<class>/….mp4``, or ``root/<split>/<class>/….mp4``.

    Args:
        root: The data folder.
        classes: Keep only these classes.
        split: Keep only this split.

    Returns:
        Videos labelled by their class folder.

    Raises:
        DataError: If a video lies outside any class folder, or as :func:`folder`.
        UsageError: If there is no such class or split, with the alternatives.
    """
    return labelled(videos_below(root), classes=classes, split=split)


def labelled(
    paths: Sequence[str], *, classes: Sequence[str] | None = None, split: str | None = None
) -> tuple[Video, ...]:
    """Labels files by their folders; as :func:`class_folders`, for paths below a root.

    Raises:
        DataError: If a file lies outside any class folder.
        UsageError: If there is no such class or split, with the alternatives.
    """
    has_splits = {path.split("/")[0] for path in paths} <= SPLITS
    depth = 3 if has_splits else 2
    stray = [path for path in paths if path.count("/") < depth - 1]
    if stray:
        raise DataError(
            f"{len(stray)} videos lie in no class folder",
            seen=", ".join(stray[:5]),
            accepted="root/<class>/<file> or root/<split>/<class>/<file> for every video",
            fix="move them into class folders, or use the layout `folder` for data without labels",
        )
    videos = []
    for path in paths:
        parts = path.split("/")
        videos.append(Video(path, label=parts[depth - 2], split=parts[0] if has_splits else None))
    return unique(of_split(of_classes(videos, classes), split))


def of_classes(videos: Sequence[Video], classes: Sequence[str] | None) -> list[Video]:
    """Keeps the videos of some classes; all of them for None.

    Raises:
        UsageError: If no video has one of these classes, with the alternatives.
    """
    known = {video.label for video in videos if video.label is not None}
    for name in classes or ():
        if name not in known:
            raise unknown_name("class", name, known, fix="correct `classes`, or leave it out")
    return [video for video in videos if classes is None or video.label in classes]


def of_split(videos: Sequence[Video], split: str | None) -> list[Video]:
    """Keeps the videos of one split; all of them for None.

    Raises:
        UsageError: If no video has this split, with the alternatives.
    """
    known = {video.split for video in videos if video.split is not None}
    if split is not None and split not in known:
        raise unknown_name("split", split, known, fix="correct `split`, or leave it out")
    return [video for video in videos if split is None or video.split == split]
