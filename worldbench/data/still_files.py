"""Pictures on disk: which there are, whether they are whole, and what is in them."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from worldbench.data.files import contained, paths_below
from worldbench.data.video_info import VideoInfo
from worldbench.errors import DataError

SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})
"""File name endings (lower case) that count as pictures."""

_KINDS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_LARGEST = 1 << 28  # bytes; a picture is a thousandth of it
_ACCEPTED = "a regular file ending in " + ", ".join(sorted(SUFFIXES)) + ", JPEG or PNG inside"


def pictures_below(root: Path) -> list[str]:
    """Lists the POSIX paths, relative to a resolved root, of all pictures below it, sorted.

    Hidden files and folders are left out; links to folders are not entered.

    Raises:
        DataError: If there is none, a link leads out of the root, or a path is not UTF-8.
    """
    found = paths_below(root, lambda name: Path(name).suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(
            "no pictures in the folder",
            seen=str(root),
            accepted="at least one .jpeg, .jpg or .png file at any depth",
            fix="check the root, and that the data is mounted and unpacked",
        )
    return found


def probe_picture(path: str | Path, root: str | Path | None = None) -> VideoInfo:
    """Decodes a picture and tells what is in it, as a video of one frame.

    Raises:
        DataError: If it is no readable picture, or leaves the root; ``what`` holds no path.
    """
    if root is not None:
        path = Path(root) / contained(path, root)
    data, picture = _decoded(Path(path))
    height, width = picture.shape[:2]
    return VideoInfo(len(data), hashlib.sha256(data).hexdigest(), width, height, 1.0, 1, 1)


def read_picture(path: Path, info: VideoInfo) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes a picture, BGR as OpenCV has it, turned as its metadata says.

    Raises:
        DataError: If it is no readable picture, or another than was probed.
    """
    data, picture = _decoded(path)
    if len(data) != info.size_bytes:
        raise DataError(
            "the file changed since it was probed",
            seen=f"{len(data)} bytes in {path}",
            accepted=f"{info.size_bytes} bytes",
            fix="start again: a new scan builds a new manifest",
        )
    return picture


def _decoded(path: Path) -> tuple[bytes, UInt8[np.ndarray, "h w 3"]]:
    """Reads a file that its first bytes say is a picture; nothing else reaches a decoder."""
    if not path.exists():
        raise _unusable("missing file", path)
    if not path.is_file():
        raise _unusable("not a regular file", path)
    if path.stat().st_size > _LARGEST:
        raise _unusable(f"larger than {_LARGEST >> 20} MiB", path)
    data = path.read_bytes()
    if not data.startswith(_KINDS):
        raise _unusable(f"no JPEG or PNG: the file starts with {data[:8]!r}", path)
    # OpenCV shows what there is of a truncated JPEG without a word.
    if data.startswith(_KINDS[0]) and b"\xff\xd9" not in data[-1024:]:
        raise _unusable("truncated: the end of the picture is missing", path)
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise _unusable("a picture that does not decode", path)
    whole: UInt8[np.ndarray, "h w 3"] = picture
    return data, whole


def _unusable(what: str, path: Path) -> DataError:
    return DataError(
        what,
        seen=path,
        accepted=_ACCEPTED,
        fix="fetch the file again, or remove it from the data folder",
    )
