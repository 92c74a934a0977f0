"""A plain folder: every video below it, at any depth."""

import os
from pathlib import Path

from worldbench.data.files import contained, is_video_name, require_utf8
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
    found = []
    for here, folders, names in os.walk(base):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            # A link to a folder elsewhere would otherwise vanish from the data without a word.
            if (Path(here) / name).is_symlink():
                contained(Path(here) / name, base)
        # Folders that are named like videos are listed too, and refused by the scan.
        for name in [*names, *folders]:
            if is_video_name(name) and not name.startswith("."):
                file = Path(here) / name
                require_utf8(file)
                if file.is_symlink():
                    contained(file, base)
                found.append(file.relative_to(base).as_posix())
    if not found:
        raise DataError(
            "no videos in the folder",
            seen=str(root),
            accepted="at least one .mp4, .m4v, .mov, .webm, .mkv or .avi file at any depth",
            fix="check the root, and that the data is mounted and unpacked",
        )
    return sorted(found)


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
