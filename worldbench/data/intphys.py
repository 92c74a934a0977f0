"""IntPhys and IntPhys 2 as clip sources, for users who have the data."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from worldbench.cache import cache_folder, cached_tensors
from worldbench.data.frame_folders import FrameError, fingerprint, frame_files, read_frame
from worldbench.data.layouts.intphys import SCENE, intphys
from worldbench.data.layouts.intphys2 import intphys2
from worldbench.data.manifest import Entry, Video, scan
from worldbench.data.quadruplet_data import QuadrupletData
from worldbench.data.quadruplets import Footage, Quadruplet
from worldbench.data.video import decode, fit_picture
from worldbench.errors import DataError, UsageError
from worldbench.progress import Progress
from worldbench.schema import digest

_READER = 1
"""Raised when the same files give other fingerprints than before."""


class IntPhysData(QuadrupletData):
    """The dev set of IntPhys: 90 quadruplets of PNG folders in three blocks.

    Who belongs together is found by the longest shared prefix of frames
    (:func:`worldbench.data.quadruplets.match`). The frames used are 0, step, 2·step …, one less
    than fit where the last would be the movie's last: 49 of 100 at step 2, as published
    (facebookresearch/jepa-intuitive-physics).

    Args:
        name: The name records and the board show.
        root: The folder that holds ``O1``, ``O2`` and ``O3``.
        blocks: Which of them; all if None.
        fps: Frames per second of the files, which do not say so themselves.
        step: Distance of used frames.
        min_frames: Fewest used frames a movie must have: the window of the suite.
        size: Height and width of the clips: the short side is resized, the centre cropped.
        max_excluded: Largest share of unusable quadruplets that a run accepts, in [0, 1].

    Raises:
        UsageError: If a number makes no sense.
    """

    def __init__(
        self,
        name: str,
        root: str,
        *,
        blocks: Sequence[str] | None = None,
        fps: float | int = 15,
        step: int = 2,
        min_frames: int = 16,
        size: Sequence[int] = (224, 224),
        max_excluded: float | int = 0.05,
    ) -> None:
        super().__init__(
            name, root, step=step, min_frames=min_frames, size=size, max_excluded=max_excluded
        )
        if not 0 < fps < float("inf"):
            raise UsageError(
                "data.fps is no frame rate", seen=fps, accepted="a number > 0", fix="data.fps=15"
            )
        self.blocks = list(blocks) if blocks is not None else None
        self.rate = float(fps)

    @property
    def protocol(self) -> dict[str, Any]:
        """The clip format and the choice of blocks, as records keep them."""
        return {**super().protocol, "fps": self.rate, "blocks": self.blocks}

    def listed(self) -> tuple[Quadruplet, ...]:
        """Lists the quadruplets of the blocks asked for."""
        return intphys(self.root, blocks=self.blocks)

    def look(self, paths: Sequence[str]) -> dict[str, Footage | str]:
        """Decodes every frame once, movies side by side; unchanged movies are remembered."""
        base = Path(self.root).resolve()
        found: dict[str, Footage | str] = {}
        pool = ThreadPoolExecutor(min(16, os.cpu_count() or 1))
        try:
            with Progress().task(f"scanning {self.name}", len(paths)) as step:
                looked = pool.map(partial(self._look, base), paths)
                for path, known in zip(paths, looked, strict=True):
                    found[path] = known
                    step.to(len(found))
        finally:
            pool.shutdown(cancel_futures=True)
        return found

    def _look(self, base: Path, path: str) -> Footage | str:
        try:
            files = frame_files(base / path / SCENE, base)
            prints = _prints(files)
        except FrameError as error:  # a path that leaves the root is never an exclusion
            return error.what
        except OSError as error:
            return f"unreadable file: {type(error).__name__}"
        used = (len(files) - 1) // self.step
        return Footage(used, self.rate / self.step, digest([p.hex() for p in prints]), prints)

    def decode(self, path: str, frames: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Returns the first ``frames`` used frames of a movie, each checked against the scan.

        Raises:
            DataError: If the movie changed since.
        """
        base = Path(self.root).resolve()
        files, prints = frame_files(base / path / SCENE, base), self.scan.footage[path].prints
        pictures = []
        for index in range(0, frames * self.step, self.step):
            picture = read_frame(files[index]) if index < len(files) else None
            if picture is None or fingerprint(picture) != prints[index]:
                raise DataError(
                    "a frame changed since it was scanned",
                    seen=f"frame {index} of {path}",
                    accepted="the frames that the scan found",
                    fix="run the command again",
                )
            pictures.append(fit_picture(picture, self.size))
        return np.stack(pictures)


def _prints(files: Sequence[Path]) -> tuple[bytes, ...]:
    """Returns the fingerprint of every frame, from the cache if no file changed since."""
    stats = [(str(file), file.stat()) for file in files]
    key = {
        "reader": _READER,
        "opencv": cv2.__version__,
        "files": [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats],
    }

    def compute() -> dict[str, Any]:
        import torch

        prints = [np.frombuffer(fingerprint(read_frame(file)), np.uint8) for file in files]
        return {"prints": torch.from_numpy(np.stack(prints))}

    return tuple(row.tobytes() for row in cached_tensors("frames", key, compute)["prints"].numpy())


class IntPhys2Data(QuadrupletData):
    """A split of IntPhys 2: videos in quadruplets, paired as the listing says.

    Frames 0, step, 2·step … of each file are used, by their order and not by their time, as
    published (facebookresearch/IntPhys2).

    Args:
        name: The name records and the board show.
        root: The folder that holds ``Debug`` and ``Main``.
        split: One of them.
        conditions: Keep only these; all if None.
        step: Distance of used frames.
        min_frames: Fewest used frames a video must have: the window of the suite.
        size: Height and width of the clips: the short side is resized, the centre cropped.
        max_excluded: Largest share of unusable quadruplets that a run accepts, in [0, 1].

    Raises:
        UsageError: If a number makes no sense.
    """

    def __init__(
        self,
        name: str,
        root: str,
        *,
        split: str = "Main",
        conditions: Sequence[str] | None = None,
        step: int = 10,
        min_frames: int = 48,
        size: Sequence[int] = (224, 224),
        max_excluded: float | int = 0.05,
    ) -> None:
        super().__init__(
            name, root, step=step, min_frames=min_frames, size=size, max_excluded=max_excluded
        )
        self.split = split
        self.conditions = list(conditions) if conditions is not None else None
        self._entries: dict[str, Entry] = {}

    @property
    def protocol(self) -> dict[str, Any]:
        """The clip format and the choice of videos, as records keep them."""
        return {**super().protocol, "split": self.split, "conditions": self.conditions}

    def listed(self) -> tuple[Quadruplet, ...]:
        """Lists the quadruplets of the split."""
        return intphys2(self.root, split=self.split, conditions=self.conditions)

    def look(self, paths: Sequence[str]) -> dict[str, Footage | str]:
        """Decodes every video once; unchanged files are remembered."""
        if not paths:
            return {}
        with Progress().task(f"scanning {self.name}", len(paths)) as step:
            manifest = scan(
                [Video(path) for path in paths],
                self.root,
                max_excluded=1.0,  # limited by quadruplet instead
                cache=cache_folder("scans"),
                progress=step.to,
            )
        self._entries = {entry.video.path: entry for entry in manifest.entries}
        found: dict[str, Footage | str] = {item.path: item.reason for item in manifest.excluded}
        for path, entry in self._entries.items():
            used = -(-entry.info.frames // self.step)
            found[path] = Footage(used, entry.info.fps / self.step, entry.info.sha256)
        return found

    def decode(self, path: str, frames: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Returns the first ``frames`` used frames of a video.

        Raises:
            DataError: If the file changed since the scan or a frame does not decode.
        """
        info = self._entries[path].info
        times = [float(at) for at in info.timestamps[:: self.step][:frames]]
        return decode(Path(self.root).resolve() / path, times, size=self.size, info=info)
