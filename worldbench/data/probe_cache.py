"""What :func:`worldbench.data.video_info.probe` found in files that have not changed since."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import secrets
from pathlib import Path
from typing import Any

import cv2

from worldbench.data.video_info import VideoInfo

_logger = logging.getLogger(__name__)

_SCHEMA = 1


class ProbeCache:
    """Results by (resolved path, size, modification time), in one JSON file per data root.

    A file that is damaged, or was written by another decoder version, counts as empty. When two
    scans of one root end together, the later file stands; the other's results are found again.

    Args:
        file: Where to keep the results; None keeps none.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[str, dict[str, Any]] = {}
        self._changed = False

    @classmethod
    def load(cls, folder: Path | None, root: Path) -> "ProbeCache":
        """Opens the cache of a data root below ``folder``; without a folder, an empty one."""
        if folder is None:
            return cls(None)
        name = hashlib.sha256(str(root).encode()).hexdigest()[:16]
        cache = cls(Path(folder) / f"videos-{name}.json")
        cache._read()
        return cache

    def get(self, path: Path) -> VideoInfo | None:
        """What was found in this very file, if it is known and the file is unchanged."""
        if self._file is None:
            return None
        try:
            fields = dict(self._known[_key(path)])
            fields["variable"] = tuple(map(float, fields["variable"]))
            return VideoInfo(**fields)
        except (OSError, KeyError, TypeError, ValueError):
            return None

    def put(self, path: Path, info: VideoInfo) -> VideoInfo:
        """Remembers what was found, and returns it."""
        if self._file is not None:
            self._known[_key(path)] = dataclasses.asdict(info)
            self._changed = True
        return info

    def save(self) -> None:
        """Writes the file atomically if anything is new."""
        if self._file is None or not self._changed:
            return
        temporary = self._file.with_name(f".{self._file.name}.{secrets.token_hex(4)}.tmp")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({**_header(), "files": self._known}, sort_keys=True))
            os.replace(temporary, self._file)  # noqa: PTH105
        except OSError as error:  # not worth losing a scan over
            _logger.warning("scan results are not kept in %s: %s", self._file, error)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._changed = False

    def _read(self) -> None:
        if self._file is None:
            return
        try:
            stored = json.loads(self._file.read_text())
            if {name: stored[name] for name in _header()} == _header():
                self._known = dict(stored["files"])
        except (OSError, KeyError, TypeError, ValueError):
            self._known = {}


def _header() -> dict[str, object]:
    return {"schema": _SCHEMA, "opencv": cv2.__version__}


def _key(path: Path) -> str:
    resolved = path.resolve()
    status = resolved.stat()
    return f"{resolved}|{status.st_size}|{status.st_mtime_ns}"
