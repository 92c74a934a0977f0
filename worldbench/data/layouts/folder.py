"""A plain folder: every video below it, at any depth."""

from pathlib import Path

from worldbench.data.files import is_video_name, paths_below, require_utf8
from worldbench.data.manifest import Video, unique
from worldbench.errors import DataError


def folder(root: str | Path) -> tuple[Video, ...]:
    """Lists every video below a folder.

    Hidden files and folders (``.name``) are left out: they are the litter of systems and
    unfinished downloads. Links to folders are not entered.

    Args:
        root: The data folder.

    Returns:
        Videos without label or split.

    Raises:
        DataError: If the folder does not exist, holds no video, a link leads out of it, or a path
            is not UTF-8.
    """
    return unique(Video(path) for path in videos_below(root))


def videos_below(root: str | Path) -> list[str]:
    """Lists the POSIX paths, relative to ``root``, of every video file below it, sorted.

    Raises:
        DataError: As :func:`folder`.
    """
    base = existing_folder(root)
    found = paths_below(base, is_video_name, folders_too=True)
    if not found:
        raise DataError(
            "no videos in the folder",
            seen=str(root),
            accepted="at least one .mp4, .m4v, .mov, .webm, .mkv or .avi file at any depth",
            fix="check the root, and that the data is mounted and unpacked",
        )
    return found


def existing_folder(root: str | Path) -> Path:
    """Resolves a data root.

    Raises:
        DataError: If it is no folder, or its path is not UTF-8.
    """
    base = Path(root).resolve()
    require_utf8(base)
    if not base.is_dir():
        raise DataError(
            "the data root is not a folder",
            seen=str(root),
            accepted="an existing local folder",
            fix="set the root to the folder that holds the videos",
        )
    return base
