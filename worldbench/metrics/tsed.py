"""Thresholded symmetric epipolar distance (TSED): do matches lie on their epipolar lines?

Yu et al. 2023, "Long-term photometric consistent novel view synthesis with diffusion models",
arXiv 2304.10700. It asks for consistency with the camera, not for motion: a video that stays still
satisfies every translation exactly (see :func:`worldbench.metrics.epipolar.fundamental`) and small
rotations nearly. What such a video would score is therefore reported beside the score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from worldbench.errors import UsageError
from worldbench.metrics.epipolar import MIN_MATCHES, Matrix, Points, symmetric_epipolar_distance

THRESHOLDS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pixels at 256-equivalent; 2 is the paper's."""

_RATIO = 0.8  # of distances to the nearest and second nearest descriptor (Lowe 2004, §7.1)
_CONTRAST = 0.01
"""SIFT's contrast threshold; × 255 / 3 octave layers = .85 grey levels, the finest step of 8 bits.
On real adjacent frames of ``consistency3d_quick`` at 64² the default of .04 leaves 10 matches in
15 % of the pairs, .02 in 92 %, .01 in all (29, 58 and 40 in the median for orbits, dollies and
trucks); half of it adds a tenth at most. Frames of independent noise have none."""


def matches(
    frame_a: UInt8[np.ndarray, "h w 3"], frame_b: UInt8[np.ndarray, "h2 w2 3"]
) -> tuple[Points, Points]:
    """Matches SIFT keypoints of two frames at their own scale; deterministic.

    A match is a mutual nearest neighbour that passes Lowe's ratio test from either side, so that
    the order of the frames does not matter; asked from one side, 1 % more of the matches of real
    frames pass and 10 % more of those of warped ones. Pairs of points that several orientations
    of one keypoint repeat (a fifth of all) count once.

    Args:
        frame_a: First frame, RGB.
        frame_b: Second frame.

    Returns:
        Points of the first frame and their matches in the second, in pixels; pixel (row i,
        column j) has its centre at (j + ½, i + ½).
    """
    (x_a, features_a), (x_b, features_b) = _keypoints(frame_a), _keypoints(frame_b)
    if min(len(x_a), len(x_b)) < 2:  # the ratio test needs a second nearest
        return np.zeros((0, 2)), np.zeros((0, 2))
    # SIFT descriptors are whole numbers of norm 512, so these sums are exact in float32, whatever
    # order a processor adds in, and so are matches.
    norms_a, norms_b = ((features**2).sum(axis=1) for features in (features_a, features_b))
    squared = norms_a[:, None] + norms_b[None] - 2 * (features_a @ features_b.T)
    (to_b, clear_a), (to_a, clear_b) = _nearest(squared), _nearest(squared.T)
    kept = (to_a[to_b] == np.arange(len(x_a))) & clear_a & clear_b[to_b]
    pairs = np.unique(np.concatenate([x_a[kept], x_b[to_b[kept]]], axis=1), axis=0)
    return pairs[:, :2].copy(), pairs[:, 2:].copy()


def _nearest(
    squared: Float32[np.ndarray, "n m"],
) -> tuple[Int64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """The nearest column of every row, and whether it is clearly nearer than the second."""
    best, second = np.partition(squared, 1, axis=1)[:, :2].T
    return squared.argmin(axis=1), best < _RATIO**2 * second


def _keypoints(
    frame: UInt8[np.ndarray, "h w 3"],
) -> tuple[Points, Float32[np.ndarray, "n 128"]]:
    # Without the precise upscaling OpenCV places every keypoint ¼ px too far right and down.
    sift = cv2.SIFT.create(contrastThreshold=_CONTRAST, enable_precise_upscale=True)
    found, features = sift.detectAndCompute(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), None)
    if features is None:
        return np.zeros((0, 2)), np.zeros((0, 128), dtype=np.float32)
    # OpenCV puts the centre of the first pixel at (0, 0).
    return np.array([point.pt for point in found], dtype=np.float64) + 0.5, features


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two frames as TSED sees them.

    Attributes:
        x_a: Points of the first frame, pixels.
        x_b: Their matches in the second.
        F: Fundamental matrix, x_bᵀ F x_a = 0; ``None`` where none could be estimated.
        size: Height and width of the frames in pixels.
    """

    x_a: Points
    x_b: Points
    F: Matrix | None
    size: tuple[int, int]

    @property
    def unit(self) -> float:
        """Pixels of the frame in one pixel at 256-equivalent."""
        return min(self.size) / 256

    @property
    def enough(self) -> bool:
        """Whether there are matches enough to judge."""
        return len(self.x_a) >= MIN_MATCHES

    @property
    def distance(self) -> float | None:
        """Median SED in pixels at 256-equivalent, or None with too few matches or no F."""
        if self.F is None or not self.enough:
            return None
        return float(np.median(symmetric_epipolar_distance(self.F, self.x_a, self.x_b))) / self.unit

    @property
    def frozen_distance(self) -> float | None:
        """What :attr:`distance` would be if no pixel moved, or None without F."""
        if self.F is None:
            return None
        rows, columns = np.indices(self.size).reshape(2, -1) + 0.5
        still = np.stack([columns, rows], axis=1)
        return float(np.median(symmetric_epipolar_distance(self.F, still, still))) / self.unit


@dataclass(frozen=True, slots=True)
class Tsed:
    """TSED of a clip, a curve over thresholds.

    Attributes:
        thresholds: Pixels at 256-equivalent.
        consistent: Share of all pairs that are consistent, per threshold; ``None`` unless the
            status is ``"ok"``.
        frozen: The share if every pair had matches and no pixel moved: the floor that
            ``consistent`` has to clear; ``None`` if a pair has no F.
        distance: Median over measured pairs of their median SED, pixels at 256-equivalent.
        pairs: All pairs.
        enough: Pairs with enough matches.
        measured: Of these, pairs with an F.
        status: ``"ok"``, or why not one pair could be measured.
        reason: The same in words, with counts; ``None`` if ``"ok"``.
    """

    thresholds: tuple[float, ...]
    consistent: tuple[float, ...] | None
    frozen: tuple[float, ...] | None
    distance: float | None
    pairs: int
    enough: int
    measured: int
    status: Literal["ok", "too few matches", "no geometry"]
    reason: str | None


def tsed(pairs: Sequence[Pair], thresholds: Sequence[float] = THRESHOLDS) -> Tsed:
    """Shares of frame pairs whose matches keep to their epipolar lines.

    A pair is consistent at T if it has at least 10 matches, an F, and a median SED below T. As in
    the paper the share is of all pairs, so that one without matches counts against the clip; only
    if no pair at all can be measured is there a status instead of a share.

    Args:
        pairs: Of frames of a clip: neighbours in the paper; farther apart the floor is lower.
        thresholds: Pixels at 256-equivalent: × min(h, w) / 256 in those of the frame.

    Returns:
        The curve, with the counts behind it.

    Raises:
        UsageError: If there are no thresholds or one is not positive.
        DataError: If matches are not finite.
    """
    if not thresholds or not min(thresholds) > 0:
        raise UsageError(
            "TSED needs thresholds", seen=list(thresholds), accepted="positive numbers of pixels"
        )
    told = [pair.distance for pair in pairs]
    distances = [distance for distance in told if distance is not None]
    still = [pair.frozen_distance for pair in pairs]
    floor = [distance for distance in still if distance is not None]
    enough = sum(pair.enough for pair in pairs)
    # A pair that has matches and no F is not measured, and counts neither way.
    judged = sum(pair.F is not None or not pair.enough for pair in pairs)
    status: Literal["ok", "too few matches", "no geometry"] = "ok"
    reason = None
    if not enough:
        status = "too few matches"
        reason = f"0 of {len(pairs)} pairs have {MIN_MATCHES} matches"
    elif not distances:
        status = "no geometry"
        reason = f"{enough} of {len(pairs)} pairs have {MIN_MATCHES} matches, none of them an F"
    return Tsed(
        thresholds=tuple(thresholds),
        consistent=_shares(distances, thresholds, judged) if distances else None,
        frozen=_shares(floor, thresholds, len(pairs))
        if floor and len(floor) == len(pairs)
        else None,
        distance=float(np.median(distances)) if distances else None,
        pairs=len(pairs),
        enough=enough,
        measured=len(distances),
        status=status,
        reason=reason,
    )


def _shares(
    distances: Sequence[float], thresholds: Sequence[float], pairs: int
) -> tuple[float, ...]:
    below: Bool[np.ndarray, "n k"] = np.less.outer(distances, thresholds)
    return tuple(float(count) / pairs for count in below.sum(axis=0))
