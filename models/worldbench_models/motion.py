"""Clips in which one object moves before a still camera, and where it is: what latents should tell.

Of the ``calibration`` split, from those scenarios of ``train_random`` in which a single body often
moves: it falls, bounces, rolls, goes round, passes behind something or leaves.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, UInt8
from torch import Tensor

from worldbench.data.worlds.content import Tell
from worldbench.data.worlds.pictures.render import render_rgb
from worldbench.data.worlds.scene import KINDS
from worldbench.data.worlds.simulation import Block, blocks_in_parallel
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.track import Track
from worldbench.errors import DataError
from worldbench_models.gates.clips import still_camera
from worldbench_models.patches import FRAMES, PATCH

SCENARIOS = (
    "events",
    "bounce",
    "occluder_pass",
    "leave_visibly",
    "drop",
    "drop_behind",
    "roll_slope",
)
"""They are drawn in turn, equally many of each."""

_STEP = 0.001  # metres between frames by which a body that moves must be displaced
_SEEN = 4  # latent steps, of 8, in which the target must be seen
_BLOCK = 16  # clips of one scenario at a time
_APART = 50_000  # between the first seeds of scenarios
_TRIES = 30  # clips drawn per clip wanted before giving up; about 3 are needed
_SAMPLES = 256  # points between camera and target: 2 cm apart, and nothing is as thin


@dataclass(frozen=True, eq=False)
class MotionClips:
    """Clips of one moving target, in an order that tells nothing.

    Attributes:
        rgb: Their frames.
        position: Where the target's centre is in each latent step, the mean of its frames: (x, y),
            0 at the left and upper edge, 1 at the right and lower; NaN where it is outside the
            frame or hidden behind something in one of the step's frames.
        velocity: Difference to the position a latent step earlier; NaN where one is missing.
    """

    rgb: UInt8[Tensor, "n t h w 3"]
    position: Float32[Tensor, "n steps 2"]
    velocity: Float32[Tensor, "n steps 2"]


def single_object_clips(
    count: int,
    *,
    device: str | torch.device = "cpu",
    workers: int | None = None,
    seed: int = 0,
    tell: Tell | None = None,
) -> MotionClips:
    """Draws clips until in ``count`` of them exactly one body moves, is a target, and is seen.

    The same clips whatever the workers and the device, up to a level of rounding between devices.

    Args:
        count: Clips wanted.
        device: Where to render and keep them.
        workers: Processes that simulate; as many as there are cores if None, this one if 1.
        seed: Of the first clip drawn of each scenario.
        tell: Called with (clips found, clips wanted).

    Raises:
        DataError: If hardly any clip qualifies.
    """
    kept: list[Track] = []
    truth: list[np.ndarray] = []
    with closing(blocks_in_parallel(_blocks(count, seed), workers)) as blocks:  # type: ignore[type-var]
        for track, position in _qualified(blocks):
            kept.append(track)
            truth.append(position)
            if tell is not None:
                tell(len(kept), count)
            if len(kept) == count:
                break
    if len(kept) < count:
        raise DataError(
            "too few clips have one moving object",
            seen=f"{len(kept)} of {_TRIES * count}",
            accepted=f"{count}",
            fix="ask for fewer",
        )
    order = np.random.default_rng(seed).permutation(count)
    rgb = render_rgb([kept[i] for i in order], device=device)
    places = torch.from_numpy(np.stack([truth[i] for i in order])).to(device)
    velocity = torch.full_like(places, torch.nan)
    velocity[:, 1:] = places[:, 1:] - places[:, :-1]
    return MotionClips(rgb, places.float(), velocity.float())


def _blocks(count: int, seed: int) -> list[Block]:
    rounds = -(-count * _TRIES // (_BLOCK * len(SCENARIOS)))
    return [
        Block(
            SceneSpec(
                "train_random",
                seed + at * _APART + turn * _BLOCK,
                split="calibration",
                frames=FRAMES,
                factors={"scenario": scenario},
            ),
            _BLOCK,
        )
        for turn in range(rounds)
        for at, scenario in enumerate(SCENARIOS)
    ]


def _qualified(blocks: Iterator[list[Track]]) -> Iterator[tuple[Track, np.ndarray]]:
    """Yields the clips that qualify, with the position of their target in each latent step."""
    for tracks in blocks:
        for track in tracks:
            slot = moving_target(track)
            if slot is None or not still_camera(track):
                continue
            seen = in_frame(track, slot) & in_sight(track, slot)
            frames = np.where(seen[:, None], image_position(track, slot), np.nan)
            position = frames.reshape(-1, PATCH[0], 2).mean(axis=1)
            if int((~np.isnan(position[:, 0])).sum()) >= _SEEN:
                yield track, position


def moving_target(track: Track) -> int | None:
    """Returns the first slot of the one body that moves, if it is the only one and a target."""
    moves = np.abs(np.diff(track.pos, axis=0)).max(axis=(0, 2)) > _STEP
    bodies = np.unique(track.body[moves])
    if len(bodies) != 1:
        return None
    slot = int(np.flatnonzero(track.body == bodies[0])[0])
    return slot if track.roles[slot] == "target" else None


def image_position(track: Track, slot: int) -> Float64[np.ndarray, "t 2"]:
    """Projects a slot's centre: (x, y) in units of the frame, 0 to 1 inside it."""
    pose = track.camera_c2w.astype(np.float64)
    ray = track.pos[:, slot] - pose[:, :3, 3]
    local = np.einsum("tji,tj->ti", pose[:, :3, :3], ray)
    pixels = np.einsum("ij,tj->ti", track.K.astype(np.float64), local)
    scale = np.array([track.spec.width, track.spec.height])
    # Behind the camera nothing is in the frame.
    depth = np.where(pixels[:, 2:] > 0, pixels[:, 2:], np.nan)
    return np.asarray(pixels[:, :2] / depth / scale)


def in_frame(track: Track, slot: int) -> Bool[np.ndarray, " t"]:
    """Says in which frames a slot's centre projects into the picture."""
    at = image_position(track, slot)
    return np.asarray(((at >= 0) & (at <= 1)).all(axis=1))


def in_sight(track: Track, slot: int) -> Bool[np.ndarray, " t"]:
    """Says in which frames no other body stands between the camera and a slot's centre."""
    clear = np.ones(track.frames, dtype=bool)
    eye = track.camera_c2w[:, None, :3, 3]
    along = np.linspace(0, 1, _SAMPLES, endpoint=False)[None, :, None]
    points = eye + along * (track.pos[:, None, slot] - eye)
    for other in np.flatnonzero(track.body != track.body[slot]):
        local = _turned_back(points - track.pos[:, None, other], track.rot[:, other])
        inside = _inside(KINDS[int(track.kind[other])], track.size[other], local)
        clear &= ~inside.any(axis=1)
    return clear


def _turned_back(
    points: Float64[np.ndarray, "t p 3"], quat: Float32[np.ndarray, "t 4"]
) -> Float64[np.ndarray, "t p 3"]:
    """Turns world vectors into a body's own axes: v − 2w (u × v) + 2 u × (u × v)."""
    w, u = quat[:, None, :1].astype(np.float64), quat[:, None, 1:].astype(np.float64)
    once = np.cross(u, points)
    return np.asarray(points - 2 * w * once + 2 * np.cross(u, once))


def _inside(
    kind: str, size: Float32[np.ndarray, " 3"], at: Float64[np.ndarray, "t p 3"]
) -> Bool[np.ndarray, "t p"]:
    """Says which points, in a primitive's own axes, lie in it."""
    if kind == "box":
        return np.asarray((np.abs(at) <= size).all(axis=-1))
    beyond = np.maximum(np.abs(at[..., 2]) - size[1], 0)  # of the ends of a cylinder or capsule
    across = np.hypot(at[..., 0], at[..., 1])
    if kind == "cylinder":
        return np.asarray((across <= size[0]) & (beyond == 0))
    beyond = np.abs(at[..., 2]) if kind == "sphere" else beyond
    return np.asarray(np.hypot(across, beyond) <= size[0])
