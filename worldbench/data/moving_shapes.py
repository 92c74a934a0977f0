"""The embedded default data: textured shapes that move, as real H.264 files in Kinetics layout.

Drawn from seeds, so every machine makes the same set; read back through the same reader as any
Kinetics copy. One or two textured shapes move over a textured ground in one of six ways, of which
constant velocity explains only some.
"""

import csv
import io
import json
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from worldbench.cache import cache_folder, cache_lock
from worldbench.data.video import encode
from worldbench.record import file_digest, write_atomic
from worldbench.schema import digest

logger = logging.getLogger(__name__)

MOTIONS = ("drifting", "bouncing", "orbiting", "accelerating", "spinning", "growing")
_SHAPES = ("disc", "square", "triangle")
_SUPERSAMPLE = 2
_INDEX = "index.json"


@dataclass(frozen=True)
class ShapesSpec:
    """What the set looks like; its digest identifies the data in records.

    Attributes:
        version: Raised whenever the drawing changes.
        seed: Of the whole set.
        train: Number of videos in the ``train`` split.
        validate: Number of videos in the ``validate`` split.
        frames: Frames per video.
        fps: Frames per second.
        size: Height and width in pixels.
        crf: H.264 quality (lower is better).
    """

    version: int = 1
    seed: int = 0
    train: int = 256
    validate: int = 512
    frames: int = 16
    fps: int = 8
    size: int = 64
    crf: int = 12

    @property
    def digest(self) -> str:
        """Digest of the specification."""
        return digest(["moving_shapes", asdict(self)])


def draw(spec: ShapesSpec, split: str, index: int) -> tuple[str, np.ndarray]:
    """Draws one video.

    Args:
        spec: The set.
        split: ``train`` or ``validate``.
        index: Which video of the split.

    Returns:
        Its label (a motion) and its frames, ``t h w 3`` uint8 RGB.
    """
    stream = int(digest(["moving_shapes", spec.version, spec.seed, split, index])[:16], 16)
    rng = np.random.default_rng(stream)
    motion = MOTIONS[index % len(MOTIONS)]
    side = spec.size * _SUPERSAMPLE
    ground = _texture(rng, side, contrast=0.35)
    shapes = [_Shape.sample(rng, motion, side) for _ in range(int(rng.integers(1, 3)))]
    frames = []
    for t in range(spec.frames):
        canvas = ground.copy()
        for shape in shapes:
            shape.paint(canvas, t / (spec.frames - 1))
        small = cv2.resize(canvas, (spec.size, spec.size), interpolation=cv2.INTER_AREA)
        frames.append(np.rint(small.clip(0, 1) * 255).astype(np.uint8))
    return f"{motion} shapes", np.stack(frames)


def _texture(rng: np.random.Generator, side: int, contrast: float) -> np.ndarray:
    """Noise over two scales around a random colour: no repeats for a matcher to trip over."""
    colour = rng.uniform(0.2, 0.8, 3).astype(np.float32)
    fine = cv2.GaussianBlur(rng.standard_normal((side, side, 3)).astype(np.float32), (0, 0), 2)
    coarse = cv2.GaussianBlur(rng.standard_normal((side, side, 3)).astype(np.float32), (0, 0), 10)
    noise = fine / fine.std() + coarse / coarse.std()
    texture: np.ndarray = np.clip(colour + contrast / 4 * noise, 0, 1).astype(np.float32)
    return texture


@dataclass(frozen=True)
class _Shape:
    kind: str
    motion: str
    side: int
    radius: float
    start: np.ndarray
    travel: np.ndarray
    turn: float
    texture: np.ndarray

    @classmethod
    def sample(cls, rng: np.random.Generator, motion: str, side: int) -> "_Shape":
        angle = rng.uniform(0, 2 * math.pi)
        reach = rng.uniform(0.35, 0.9) * side
        return cls(
            kind=str(rng.choice(_SHAPES)),
            motion=motion,
            side=side,
            radius=rng.uniform(0.12, 0.2) * side,
            start=rng.uniform(0.25, 0.75, 2) * side,
            travel=np.array([math.cos(angle), math.sin(angle)]) * reach,
            turn=float(rng.choice([-1, 1])) * rng.uniform(0.6, 1.4) * math.pi,
            texture=_texture(rng, side, contrast=0.8),
        )

    def _pose(self, t: float) -> tuple[np.ndarray, float, float]:
        """Centre in pixels, rotation in radians and scale at time t in [0, 1]."""
        if self.motion == "bouncing":
            room = self.side - 2 * self.radius
            folded = np.mod(self.start - self.radius + 2 * self.travel * t, 2 * room)
            return self.radius + np.where(folded > room, 2 * room - folded, folded), 0.0, 1.0
        if self.motion == "orbiting":
            phase = self.turn * t + float(np.arctan2(*self.travel))
            ring = np.array([math.cos(phase), math.sin(phase)]) * 0.25 * self.side
            return np.full(2, self.side / 2) + ring, 0.0, 1.0
        if self.motion == "accelerating":
            return self.start + self.travel * t * t, 0.0, 1.0
        if self.motion == "spinning":
            return self.start, 2 * self.turn * t, 1.0
        if self.motion == "growing":
            return self.start, 0.0, 0.6 + 1.0 * t
        return self.start + self.travel * (t - 0.3), 0.0, 1.0

    def paint(self, canvas: np.ndarray, t: float) -> None:
        """Paints the shape, its texture moving with it, onto the canvas in place."""
        centre, rotation, scale = self._pose(t)
        radius = self.radius * scale
        mask = np.zeros(canvas.shape[:2], np.uint8)
        if self.kind == "disc":
            points = np.asarray(cv2.ellipse2Poly((0, 0), (1000, 1000), 0, 0, 360, 10)) / 1000
        else:
            corners = 4 if self.kind == "square" else 3
            angles = np.arange(corners) * 2 * math.pi / corners + rotation + math.pi / 4
            points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 1.2
        outline = np.rint((centre + radius * points) * 16).astype(np.int32)
        cv2.fillPoly(mask, [outline], 255, lineType=cv2.LINE_AA, shift=4)
        matrix = cv2.getRotationMatrix2D(
            (self.side / 2, self.side / 2), -math.degrees(rotation), scale
        )
        matrix[:, 2] += centre - self.side / 2
        skin = cv2.warpAffine(
            self.texture, matrix, (self.side, self.side), borderMode=cv2.BORDER_REFLECT
        )
        alpha = mask[..., None].astype(np.float32) / 255
        canvas += alpha * (skin - canvas)


def build(spec: ShapesSpec, progress: Callable[[int, int], None] | None = None) -> Path:
    """Makes the set in the user's cache, or repairs what is missing or damaged there.

    Args:
        spec: The set.
        progress: Called with (videos checked or written, videos in all).

    Returns:
        The root folder, in Kinetics layout: ``annotations.csv`` and one mp4 per row.
    """
    root = cache_folder("data") / f"moving_shapes-{spec.digest[:12]}"
    names = [("train", i) for i in range(spec.train)]
    names += [("validate", i) for i in range(spec.validate)]
    with cache_lock(root):
        root.mkdir(exist_ok=True)
        known = _read_index(root)

        def make(item: tuple[str, int]) -> tuple[str, str, list[str]]:
            label, frames_of = MOTIONS[item[1] % len(MOTIONS)], item
            identity = f"{item[0][:5]}{item[1]:06d}"
            seconds = math.ceil(spec.frames / spec.fps)
            path = root / f"{identity}_{0:06d}_{seconds:06d}.mp4"
            if known.get(path.name) is None or not _intact(path, known[path.name]):
                _, frames = draw(spec, *frames_of)
                encode(path, frames, spec.fps, crf=spec.crf)
            row = [f"{label} shapes", identity, "0", str(seconds), item[0]]
            return path.name, file_digest(path), row

        index, rows = {}, []
        with ThreadPoolExecutor(max_workers=2) as pool:
            for done, (name, sha256, row) in enumerate(pool.map(make, names), 1):
                index[name] = sha256
                rows.append(row)
                if progress is not None:
                    progress(done, len(names))
        _write_annotations(root, rows)
        if index != known:
            write_atomic(root / _INDEX, json.dumps(index, indent=0).encode())
    return root


def _read_index(root: Path) -> dict[str, str]:
    try:
        index = json.loads((root / _INDEX).read_text())
        return dict(index)
    except (OSError, ValueError, TypeError):
        return {}


def _intact(path: Path, sha256: str) -> bool:
    if path.is_file() and file_digest(path) == sha256:
        return True
    logger.warning("cached video %s is missing or damaged: making it again", path)
    return False


def _write_annotations(root: Path, rows: list[list[str]]) -> None:
    """Writes the listing unless it stands there already."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
    writer.writerows(rows)
    path, content = root / "annotations.csv", text.getvalue().encode()
    if not path.is_file() or path.read_bytes() != content:
        write_atomic(path, content)
