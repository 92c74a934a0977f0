"""Movies that lie as folders of PNG frames: which frames there are, whole and in order."""

import hashlib
import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from worldbench.data.files import contained, require_utf8
from worldbench.errors import DataError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NUMBER = re.compile(r"(\d+)\.png", re.IGNORECASE)
_LARGEST = 4096  # pixels per side; beyond it a few bytes could ask for gigabytes


class FrameError(DataError):
    """A movie whose frames cannot be used; ``what`` holds no path, to serve as a reason."""


def frame_files(folder: Path, root: Path) -> list[Path]:
    """Lists the frames of a movie in the order of the numbers that their names end in.

    Args:
        folder: The folder of PNG files; other files are passed over.
        root: The data folder, which no link may lead out of.

    Raises:
        FrameError: If the folder is missing or holds no frame, a name has no number, or a number is
            missing or there twice.
        DataError: If a path leaves the root.
    """
    contained(folder, root)
    if not folder.is_dir():
        raise _unusable("no folder of frames", folder)
    numbered: dict[int, Path] = {}
    for path in folder.iterdir():
        if path.suffix.lower() != ".png" or path.name.startswith("."):
            continue
        require_utf8(path)
        if path.is_symlink():
            contained(path, root)
        number = _NUMBER.search(path.name)
        if number is None:
            raise _unusable("a frame without a number in its name", path)
        if int(number[1]) in numbered:
            raise _unusable(f"two frames of number {int(number[1])}", path)
        numbered[int(number[1])] = path
    if not numbered:
        raise _unusable("no PNG frames", folder)
    first, last = min(numbered), max(numbered)
    gaps = sorted(set(range(first, last + 1)) - set(numbered))
    if gaps:
        # What follows would come too early, which no model may be blamed for.
        more = f" and {len(gaps) - 1} more" if len(gaps) > 1 else ""
        raise _unusable(f"missing frame: number {gaps[0]}{more}", folder)
    return [numbered[number] for number in sorted(numbered)]


def read_frame(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes one PNG frame, BGR as OpenCV has it.

    The file is checked chunk by chunk first: decoders show half of a truncated picture without a
    word.

    Raises:
        FrameError: If the file is missing, empty, no PNG, truncated, damaged or too large.
    """
    try:
        if not path.is_file():
            raise _unusable("not a regular file", path)
        data = path.read_bytes()
    except OSError as error:
        raise _unusable(f"unreadable file: {type(error).__name__}", path) from error
    reason = _damage(data)
    if reason is not None:
        raise _unusable(reason, path)
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise _unusable("a PNG that does not decode", path)
    frame: UInt8[np.ndarray, "h w 3"] = picture
    return frame


def fingerprint(frame: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Returns the SHA-256 of a frame's size and pixels."""
    head = struct.pack(">II", *frame.shape[:2])
    return hashlib.sha256(head + np.ascontiguousarray(frame).tobytes()).digest()


def _damage(data: bytes) -> str | None:
    """Says what is wrong with the bytes of a PNG file, or None."""
    if not data:
        return "empty file: 0 bytes"
    if not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR":
        return f"not a PNG: the file starts with {data[:8]!r}"
    if len(data) >= 24 and max(struct.unpack(">II", data[16:24])) > _LARGEST:
        return f"larger than {_LARGEST} pixels"
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if end > len(data):
            break
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return "damaged: a checksum does not fit"
        if kind == b"IEND":
            return None
        at = end
    return "truncated: the file ends within the picture"


def _unusable(what: str, seen: Path) -> FrameError:
    return FrameError(
        what,
        seen=str(seen),
        accepted="PNG files whose names end in consecutive numbers, e.g. scene_001.png",
        fix="fetch the data again, or remove this scene",
    )
