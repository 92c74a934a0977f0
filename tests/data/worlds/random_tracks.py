"""Tracks made from arrays alone, with all kinds of geoms and no physics."""

import numpy as np

from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.track import Track

LOW, HIGH = np.array([-3.0, -5.0, 0.0]), np.array([3.0, 3.0, 4.0])


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, eye], 1)
    return pose


def random_track(
    seed: int, *, slots: int = 6, frames: int = 3, size: int | tuple[int, int] = 48
) -> Track:
    """Draws solids that tumble and drift before a camera that circles them."""
    rng = np.random.default_rng(seed)
    spec = SceneSpec("train_random", seed, frames=frames, size=size)
    now = np.arange(frames) / 8
    start = rng.uniform([-1.1, -0.6, 0.2], [1.1, 1.2, 0.9], (slots, 3))
    drift = rng.uniform(-0.5, 0.5, (slots, 3)) * [1, 1, 0]
    rot = rng.normal(size=(slots, 4)) + now[:, None, None] * rng.normal(size=(slots, 4))
    angle = rng.uniform(-0.5, 0.5) + 0.2 * now
    eyes = np.stack([3.6 * np.sin(angle), -3.6 * np.cos(angle), 1.6 + 0 * now], 1)
    focal = spec.height / 2 / np.tan(np.radians(20))
    light = np.array([rng.uniform(-0.6, 0.6), -0.5, 1.2])

    def textures(count: int, low: float, high: float) -> np.ndarray:
        share, cycles = rng.uniform(0.4, 1, (count, 1)), rng.uniform(low, high, (count, 1))
        where = rng.uniform(-50, 50, (count, 3))
        return np.concatenate([share, cycles, rng.uniform(0.5, 1.5, (count, 3)), where], 1)

    arrays = {
        "size": rng.uniform(0.15, 0.32, (slots, 3)),
        "pos": start + now[:, None, None] * drift,
        "rot": rot / np.linalg.norm(rot, axis=-1, keepdims=True),
        "vel": np.zeros((frames, slots, 3)),
        "angvel": np.zeros((frames, slots, 3)),
        "albedo": rng.uniform(0, 1, (slots, 2, 3)),
        "texture": textures(slots, 2, 4),
        "room": np.stack([LOW, HIGH]),
        "room_albedo": rng.uniform(0.3, 0.6, (6, 2, 3)),
        "room_texture": textures(6, 0.7, 1.5),
        "light": np.array([*light / np.linalg.norm(light), 0.35]),
        "camera_c2w": np.stack([look_at(eye, np.array([0, 0, 0.5])) for eye in eyes]),
        "K": np.array([[focal, 0, spec.width / 2], [0, focal, spec.height / 2], [0, 0, 1]]),
        "contacts": np.zeros((0, 4)),
    }
    return Track(
        spec=spec,
        factors={},
        label="",
        roles=tuple(f"prop{slot}" for slot in range(slots)),
        body=np.arange(slots, dtype=np.int16),
        kind=(np.arange(slots) % 4).astype(np.int8),
        **{name: value.astype(np.float32) for name, value in arrays.items()},
    )
