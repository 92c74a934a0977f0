"""What is asked of one rollout that has been read: side, time, place, looks, phantoms."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.suites.permanence_readout import Readout, side

MEASURES = ("zone", "emerged", "emergence_error", "position_error", "colour", "shape", "phantom")

_TIE = 1e-4
"""Tokens by which two side differences must differ to differ: networks round below it."""

_SEEN = 0.25
"""Tokens that the target must fill for its place and time to be asked for: 16 pixels of 64 × 64
with tokens of 8 × 8."""


@dataclass(frozen=True)
class Reading:
    """What was read off one future of A's context and one of P's.

    Attributes:
        a: Share of each token that shows the target, after A's context.
        p: The same after P's.
        tokens: Latents of the former; None where there are none.
    """

    a: Float[Tensor, "steps h w"]
    p: Float[Tensor, "steps h w"]
    tokens: Float[Tensor, "steps h w d"] | None


def measures(
    reading: Reading,
    truth: Reading,
    exits: Float[Tensor, "steps 1 w"],
    readout: Readout,
    diameter: float,
    stride: int,
    looks: dict[str, str] | None,
) -> dict[str, float | None]:
    """Measures one rollout of either context.

    Args:
        reading: What was read.
        truth: What is true.
        exits: 1 for tokens on the side where the target comes out, −1 for the others.
        readout: Gives the level above which something has come out, and looks.
        diameter: Of the target, in picture heights.
        stride: Frames per latent step.
        looks: True level of each attribute; None where read-outs have not been taught it.

    Returns:
        ``zone``: 1 if more of the target is on the exit's side after A's context than after P's,
        less what is on the other side, ½ on a tie, else 0. ``emerged``, ``phantom``: whether it
        comes out there after A's, after P's. ``emergence_error``: frames between the step at which
        it comes out and the true one; None where it does not. ``position_error``: distance of
        centroids on the exit's side, in the target's diameters, mean over the steps in which it is
        truly seen; None without any. ``colour``, ``shape``: whether the look is right; None where
        nothing came out or looks are not told.
    """
    ours, theirs = side(reading.a, exits), side(reading.p, exits)
    gap = float(ours.sum() - theirs.sum())
    out = (ours > readout.threshold).nonzero()
    true_steps = (side(truth.a, exits) >= _SEEN).nonzero()[:, 0].tolist()
    found: dict[str, float | None] = {
        "zone": 0.5 if abs(gap) <= _TIE else float(gap > 0),
        "emerged": float(len(out) > 0),
        "phantom": float(bool((theirs > readout.threshold).any())),
        "emergence_error": None,
        "position_error": None,
        "colour": None,
        "shape": None,
    }
    if len(out) and true_steps:
        found["emergence_error"] = float(abs(int(out[0]) - true_steps[0]) * stride)
    if true_steps and diameter > 0:
        errors = [_apart(reading.a[t], truth.a[t], exits[t]) for t in true_steps]
        found["position_error"] = sum(errors) / len(errors) / diameter
    if looks is not None and reading.tokens is not None and len(out):
        weights = reading.a * (exits > 0)
        for attribute, level in looks.items():
            read = readout.look(attribute, reading.tokens, weights)
            found[attribute] = None if read is None else float(read == level)
    return found


def _apart(
    one: Float[Tensor, "h w"], two: Float[Tensor, "h w"], exits: Float[Tensor, "1 w"]
) -> float:
    """Distance of two centroids on the exit's side, in picture heights; pictures are square."""
    there = (exits > 0).expand_as(one).double()
    gap = _centroid(one, there) - _centroid(two, there)
    return float(gap.square().sum().sqrt())


def _centroid(coverage: Float[Tensor, "h w"], there: Float[Tensor, "h w"]) -> Float[Tensor, " 2"]:
    # Squared, so that many faint tokens do not outweigh the few that show something.
    weights = (coverage.clamp(min=0) * there).double().square()
    if float(weights.sum()) <= 0:
        weights = there  # nothing was read: the middle of the side
    rows, columns = coverage.shape
    down = (torch.arange(rows).double() + 0.5) / rows
    across = (torch.arange(columns).double() + 0.5) / columns
    total = weights.sum()
    return torch.stack(
        [(weights.sum(dim=1) * down).sum() / total, (weights.sum(dim=0) * across).sum() / total]
    )
