"""Rotations as quaternions (w, x, y, z), over any leading dimensions."""

import numpy as np
from jaxtyping import Float64


def product(
    a: Float64[np.ndarray, "*#n 4"], b: Float64[np.ndarray, "*#n 4"]
) -> Float64[np.ndarray, "*n 4"]:
    """Multiplies: the rotation that turns by ``b``, then by ``a``."""
    w, v = a[..., :1], a[..., 1:]
    s, u = b[..., :1], b[..., 1:]
    real = w * s - np.sum(v * u, axis=-1, keepdims=True)
    return np.concatenate([real, w * u + s * v + np.cross(v, u)], axis=-1)


def conjugate(q: Float64[np.ndarray, "*n 4"]) -> Float64[np.ndarray, "*n 4"]:
    """Inverts the rotation of a unit quaternion."""
    inverse: np.ndarray = q * np.array([1.0, -1.0, -1.0, -1.0])
    return inverse


def unit(q: Float64[np.ndarray, "*n 4"]) -> Float64[np.ndarray, "*n 4"]:
    """Scales to length 1."""
    scaled: np.ndarray = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return scaled


def about(
    axis: Float64[np.ndarray, " 3"], angle: Float64[np.ndarray, "*n"]
) -> Float64[np.ndarray, "*n 4"]:
    """Returns the rotations by these angles (radians) about one axis of any length."""
    half = angle[..., None] / 2
    return np.concatenate([np.cos(half), np.sin(half) * axis / np.linalg.norm(axis)], axis=-1)


def rotate(
    q: Float64[np.ndarray, "*#n 4"], vector: Float64[np.ndarray, "*#n 3"]
) -> Float64[np.ndarray, "*n 3"]:
    """Rotates vectors by unit quaternions."""
    twice = 2 * np.cross(q[..., 1:], vector)
    turned: np.ndarray = vector + q[..., :1] * twice + np.cross(q[..., 1:], twice)
    return turned


def continuous(q: Float64[np.ndarray, "t n 4"]) -> Float64[np.ndarray, "t n 4"]:
    """Chooses between q and −q: first w ≥ 0, then the one nearer to the frame before."""
    flips = np.ones(q.shape[:2])
    flips[0] = np.where(q[0, :, 0] < 0, -1.0, 1.0)
    flips[1:] = np.where(np.sum(q[1:] * q[:-1], axis=-1) < 0, -1.0, 1.0)
    chosen: np.ndarray = np.cumprod(flips, axis=0)[..., None] * q
    return chosen
