"""Sets of the worlds made by hand, small enough to render in a second, without any physics."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from worldbench.data.worlds import sets
from worldbench.data.worlds.content import Content, QuadEntry, Tell, WorldClip
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.track import GRID, Track
from worldbench.schema import digest


def on_grid(values: object) -> np.ndarray:
    return (np.rint(np.asarray(values, np.float64) / GRID) * GRID).astype(np.float32)


def hand_track(
    seed: int, *, frames: int = 8, size: int = 32, speed: float = 0.3, texture: float = 0.3
) -> Track:
    """A ball that rolls past a standing box, seen by a still camera in a textured room."""
    rng = np.random.default_rng(seed)
    spec = SceneSpec("by_hand", seed, frames=frames, size=size, factors={"speed": speed})
    time = np.arange(frames)[:, None] / spec.fps
    ball = np.array([-0.6, 0.0, 0.3]) + time * np.array([speed, 0, 0])
    pos = np.stack([ball, np.tile([0.5, 0.6, 0.35], (frames, 1))], axis=1)
    turn = time[:, 0] * speed / 0.3 / 2
    roll = np.stack([np.cos(turn), 0 * turn, np.sin(turn), 0 * turn], axis=1)
    still = np.tile([1.0, 0, 0, 0], (frames, 1))
    speeds = np.zeros((frames, 2, 3))
    speeds[:, 0, 0] = speed
    camera = np.eye(4)
    camera[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)
    camera[:3, 3] = [0, -2.5, 0.7]
    focal = size / 2 / np.tan(np.radians(20))
    texture_row = [texture, 2.0, 1, 1, 1, *rng.uniform(0, 9, 3)]
    return Track(
        spec=spec,
        factors={"speed": speed},
        label="",
        roles=("target", "prop"),
        body=np.array([0, 1], np.int16),
        kind=np.array([0, 1], np.int8),
        size=on_grid([[0.3, 0, 0], [0.2, 0.1, 0.35]]),
        pos=on_grid(pos),
        rot=on_grid(np.stack([roll, still], axis=1)),
        vel=on_grid(speeds),
        angvel=on_grid(speeds[..., ::-1] / 0.3),
        albedo=on_grid(rng.uniform(0.1, 0.9, (2, 2, 3))),
        texture=on_grid([texture_row, texture_row]),
        room=on_grid([[-2, -4, 0], [2, 3, 3]]),
        room_albedo=on_grid(rng.uniform(0.2, 0.8, (6, 2, 3))),
        room_texture=on_grid([texture_row] * 6),
        light=on_grid([0.36, -0.48, 0.8, 0.4]),
        camera_c2w=np.tile(on_grid(camera), (frames, 1, 1)),
        K=np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], np.float32),
        contacts=np.zeros((0, 4), np.float32),
    )


@dataclass(frozen=True)
class HandPlan:
    """A plan whose content is written down here; it counts how often it is asked."""

    name: str = "by_hand"
    summary: str = "two balls, by hand"
    clips: int = 3
    labels: tuple[str, ...] = ("slow ball", "fast ball")
    quads: bool = False
    size: int = 32
    made: list[int] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return digest([self.name, self.clips, list(self.labels), self.quads, self.size])

    def make(self, workers: int, tell: Tell) -> Content:
        self.made.append(workers)
        clips = [
            WorldClip(
                id=f"{split}/{index}",
                track=hand_track(index + 100 * (split == "train"), size=self.size, speed=speed),
                split=split,
                cluster=f"{split}-{index // 2}",
                label=self.labels[index % 2] if self.labels else "",
                factors={"speed": speed},
            )
            for split in ("test", "train")
            for index, speed in enumerate([0.3, 0.6, 0.45, 0.2, 0.5][: self.clips])
        ]
        tell(len(clips), len(clips))
        quads = [
            QuadEntry("q", "speed", "occluded", ("test/0", "test/1"), 2, 5, "test-0", {"tier": 1})
        ]
        return Content(self.name, tuple(clips), tuple(quads) if self.quads else (), {"speed": 3})


def register(patch: pytest.MonkeyPatch, plan: HandPlan) -> HandPlan:
    """Puts the plan among the sets, and only it."""
    patch.setattr(sets, "SETS", {plan.name: plan})
    return plan
