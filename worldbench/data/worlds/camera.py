"""Camera paths as camera-to-world matrices: x right, y down, z forward (OpenCV), world z up.

Every path is determined by its first frames: still, constant rate, or there and back.
"""

import math

import numpy as np
from jaxtyping import Float64

from worldbench.data.worlds.scene import Vector, vec

Path = Float64[np.ndarray, "t 4 4"]

_SMOOTH = np.array([0.25, 0.5, 0.25])  # a hand trembles, it does not flicker


def look_at(eye: Vector, target: Vector) -> Float64[np.ndarray, "4 4"]:
    """Returns the pose of an upright camera at ``eye`` that looks at ``target``.

    Raises:
        ValueError: If it would look straight up or down, or at itself.
    """
    forward = target - eye
    right = np.cross(forward, vec(0, 0, 1))
    if np.linalg.norm(right) < 1e-9:
        raise ValueError(f"no upright camera at {eye} looks at {target}")
    forward, right = forward / np.linalg.norm(forward), right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = (
        right,
        np.cross(forward, right),
        forward,
        eye,
    )
    return pose


def still(eye: Vector, target: Vector, frames: int) -> Path:
    """A camera on a tripod."""
    return np.repeat(look_at(eye, target)[None], frames, axis=0)


def jittered(
    eye: Vector, target: Vector, frames: int, rng: np.random.Generator, amount: float = 0.02
) -> Path:
    """A camera held by hand: eye and aim tremble independently by about ``amount`` metres."""
    noise = rng.normal(0.0, amount, (2, frames + 2, 3))
    shaken = np.apply_along_axis(lambda track: np.convolve(track, _SMOOTH, "valid"), 1, noise)
    return np.stack([look_at(eye + a, target + b) for a, b in zip(*shaken, strict=True)])


def orbit(eye: Vector, target: Vector, frames: int, step: float) -> Path:
    """A camera that circles about the vertical through ``target``, always looking at it.

    Args:
        eye: Where it begins.
        target: What it looks at.
        frames: Number of frames.
        step: Radians per frame, anticlockwise from above if positive.
    """
    arm = eye - target
    poses = []
    for angle in step * np.arange(frames):
        cos, sin = math.cos(angle), math.sin(angle)
        turned = vec(cos * arm[0] - sin * arm[1], sin * arm[0] + cos * arm[1], arm[2])
        poses.append(look_at(target + turned, target))
    return np.stack(poses)


def translation(eye: Vector, target: Vector, frames: int, step: Vector) -> Path:
    """A camera that moves by ``step`` metres a frame and keeps its direction.

    Along its view it is a dolly, across it a truck.
    """
    path = still(eye, target, frames)
    path[:, :3, 3] += np.arange(frames)[:, None] * step
    return path


def passing(eye: Vector, target: Vector, frames: int, step: Vector, follow: float) -> Path:
    """A camera that moves by ``step`` metres a frame and turns after what it passes.

    Args:
        eye: Where it is halfway.
        target: What it looks at there.
        frames: Number of frames.
        step: Of the eye, per frame.
        follow: 0 where it keeps its direction, 1 where it always looks at the target; between, or
            beyond, likewise.
    """
    gone = (np.arange(frames) - (frames - 1) / 2)[:, None] * step
    return np.stack([look_at(eye + way, target + (1 - follow) * way) for way in gone])


def pan_and_return(eye: Vector, target: Vector, frames: int, widest: float) -> Path:
    """A camera on a tripod that turns away at a constant rate and back again at the same.

    Args:
        eye: Where it stands.
        target: What it looks at in the first and the last frame.
        frames: Number of frames.
        widest: Radians at mid-clip, to the left if positive.
    """
    phase = np.arange(frames) / max(frames - 1, 1)
    arm = target - eye
    poses = []
    for angle in widest * (1 - np.abs(2 * phase - 1)):
        cos, sin = math.cos(angle), math.sin(angle)
        turned = vec(cos * arm[0] - sin * arm[1], sin * arm[0] + cos * arm[1], arm[2])
        poses.append(look_at(eye, eye + turned))
    return np.stack(poses)
