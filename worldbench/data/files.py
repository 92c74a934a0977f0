"""Which files may reach a video decoder, and which paths stay inside a data root.

FFmpeg opens far more than videos: playlists that name other files or URLs, image patterns,
devices. Everything here runs *before* it, so that a file is what its first bytes say it is.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from worldbench.errors import DataError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi"})
"""File name endings (lower case) that count as video."""

_ACCEPTED = "a regular file ending in " + ", ".join(sorted(VIDEO_SUFFIXES))
_REMOVE = "remove the file from the data folder or its listing, or fetch it again"


def is_video_name(name: str) -> bool:
    """Whether a file name ends in one of :data:`VIDEO_SUFFIXES`, in any letter case."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def contained(path: str | Path, root: str | Path) -> str:
    """Gives a path relative to the root it must lie in, following symbolic links.

    Args:
        path: A path, absolute or relative to ``root``; it need not exist.
        root: The data folder; it may itself be a link.

    Returns:
        The POSIX path relative to ``root`` as written (links inside the root are kept).

    Raises:
        DataError: If the path leaves the root, by ``..``, as an absolute path or through a link, or
            holds a NUL character.
    """
    if "\0" in str(path):
        raise DataError(
            "a path with a NUL character",
            seen=repr(str(path)),
            accepted="names that a file can have",
            fix="correct the listing",
        )
    base = Path(root).resolve()
    written = Path(os.path.normpath(base / path))
    if Path(path).is_absolute() and not written.is_relative_to(base):
        # The root may have been given through a link: compare what both really are.
        written = written.resolve()
    if not written.is_relative_to(base) or not written.resolve().is_relative_to(base):
        raise DataError(
            "path leaves the data root",
            seen=f"{path} (root {root})",
            accepted="files below the root, reached without .. or links that lead out of it",
            fix="set the root to a folder that contains the files, or copy them below it",
        )
    return written.relative_to(base).as_posix()


def paths_below(
    base: Path, wanted: Callable[[str], bool], *, folders_too: bool = False
) -> list[str]:
    """Lists the POSIX paths, relative to a resolved root, of what has a wanted name, sorted.

    Hidden files and folders (``.name``) are left out: they are the litter of systems and
    unfinished downloads. Links to folders are not entered.

    Args:
        base: The root.
        wanted: Says of a name whether it counts.
        folders_too: Whether folders of such a name are listed, for a scan to refuse.

    Raises:
        DataError: If a link leads out of the root, or a path is not UTF-8.
    """
    found = []
    for here, folders, names in os.walk(base):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            # A link to a folder elsewhere would otherwise vanish from the data without a word.
            if (Path(here) / name).is_symlink():
                contained(Path(here) / name, base)
        for name in [*names, *folders] if folders_too else names:
            if wanted(name) and not name.startswith("."):
                file = Path(here) / name
                require_utf8(file)
                if file.is_symlink():
                    contained(file, base)
                found.append(file.relative_to(base).as_posix())
    return sorted(found)


def require_utf8(path: str | Path) -> None:
    """Refuses a path whose bytes are not UTF-8, which OpenCV crashes on and no id can hold.

    Raises:
        DataError: If the path does not encode as UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            "file name is not UTF-8",
            seen=repr(str(path)),  # the name itself cannot be printed
            accepted="names of files and folders in UTF-8",
            fix="rename it, e.g. mv OLD new.mp4",
        ) from error


def open_checked(path: str | Path, root: str | Path | None = None) -> Path:
    """Resolves a path to a file that is safe to hand to a decoder.

    Only regular files whose name *and* first bytes are those of an MP4/MOV, Matroska/WebM or AVI
    container pass. The ``what`` of each error holds no path, so that it can serve as a reason.

    Args:
        path: The file; relative paths are taken below ``root`` when one is given.
        root: If given, the folder that the file must stay in, links included.

    Returns:
        The absolute path with links resolved.

    Raises:
        DataError: For URLs, missing files, folders, devices, FIFOs, other suffixes, empty files,
            files that are not one of these containers, names that are not UTF-8, and paths that
            leave ``root``.
    """
    require_utf8(path)
    if "://" in str(path):
        raise DataError(
            "not a local file", seen=path, accepted=_ACCEPTED, fix="download it and give its path"
        )
    if root is not None:
        path = Path(root) / contained(path, root)
    try:
        resolved = Path(path).resolve(strict=True)
        status = resolved.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        what = "missing file" if missing else f"unreachable file: {type(error).__name__}"
        raise DataError(
            what, seen=path, accepted=_ACCEPTED, fix="check the path, or fetch the file"
        ) from error
    require_utf8(resolved)
    if not stat.S_ISREG(status.st_mode):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "device, FIFO or socket"
        raise DataError(
            f"not a regular file but a {kind}", seen=path, accepted=_ACCEPTED, fix=_REMOVE
        )
    if not is_video_name(resolved.name):
        raise DataError(
            f"not a video file name: suffix {resolved.suffix!r}",
            seen=path,
            accepted=_ACCEPTED,
            fix="convert it, e.g. ffmpeg -i INPUT OUTPUT.mp4, or leave it out",
        )
    if status.st_size == 0:
        raise DataError("empty file: 0 bytes", seen=path, accepted=_ACCEPTED, fix=_REMOVE)
    _check_container(resolved)
    return resolved


def _check_container(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise DataError(
            f"unreadable file: {type(error).__name__}",
            seen=path,
            accepted="a file this user may read",
            fix=f"check its permissions and disk: {error.strerror}",
        ) from error
    if not _is_container(head):
        raise DataError(
            f"not a video container: the file starts with {head[:12]!r}",
            seen=path,
            accepted="MP4 or MOV, Matroska or WebM, AVI; never playlists or text",
            fix=_REMOVE,
        )


def _is_container(head: bytes) -> bool:
    atom = head[4:8]
    if atom in (b"ftyp", b"moov", b"mdat"):
        return True
    if atom in (b"free", b"skip", b"wide"):
        # FFmpeg is less sure of these than of text formats such as SDP. A size below 16 MiB
        # begins with a zero byte, which no text does.
        return head[:1] == b"\0"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return b"webm" in head or b"matroska" in head
    return head[:4] == b"RIFF" and head[8:12] == b"AVI "
