"""What is measured of one view: of frames, of latents, of what is read off them."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldbench.batches import to_pixels
from worldbench.metrics.epipolar import fundamental, sampson_error
from worldbench.metrics.tsed import THRESHOLDS, Pair, Tsed, matches, tsed
from worldbench.schema import AdapterCard
from worldbench.suite import Row
from worldbench.suites.anchored import LATENTS, PIXELS, Footage, compare_pixels, latent_footage
from worldbench.suites.consistency3d import CONTEXT
from worldbench.suites.consistency3d_readout import Future, GeometryReadout
from worldbench.suites.surprise import last_context
from worldbench.suites.view_geometry import PIXELS_MOVED, View

_APART = 4
"""Frames between those of a pair of TSED: neighbours hardly move, and who stays still passes."""


@dataclass(frozen=True)
class Cut:
    """Where views are cut for one adapter: frames of context, and whole latent steps of future."""

    context: int
    horizon: int


def view_cut(card: AdapterCard, frames: int) -> Cut | None:
    """Returns where views are cut for an adapter; None where no legal context leaves a future."""
    context = last_context(card, 1, CONTEXT, frames)
    if context is None:
        return None
    horizon = (frames - context) // card.temporal_stride * card.temporal_stride
    return Cut(context, horizon) if horizon > 0 else None


def future_frames(cut: Cut, stride: int) -> list[int]:
    """Returns the frame that each latent step of a future stands for."""
    return list(range(cut.context, cut.context + cut.horizon, stride))


def pixel_rows(
    view: View,
    context: Float[Tensor, "c 3 h w"],
    future: Float[Tensor, "f 3 h w"],
    rolled: Float[Tensor, "s f 3 h w"],
    cut: Cut,
) -> list[Row]:
    """Measures rollouts of pixels: what is seen again, the speed of the path, TSED."""
    frames = list(range(cut.context, cut.context + cut.horizon))
    floor = context[-1:].expand_as(future)
    futures = {"model": rolled, "floor": floor[None], "ceiling": future[None]}
    seen = list(range(cut.context))
    footage = Footage(view, 1, context, seen, futures, frames, compare_pixels, PIXELS_MOVED)
    return [*_anchored_rows(footage, PIXELS), _tsed_row(view, context[-1], rolled[0], future, cut)]


def latent_rows(
    card: AdapterCard,
    view: View,
    seen: Float[Tensor, "a h w d"],
    came: Float[Tensor, "f h w d"],
    foreseen: Float[Tensor, "f h w d"],
) -> list[Row]:
    """Measures foreseen latents: what is seen again, and the speed of the path."""
    floor = seen[-1:].expand_as(came)
    futures = {"model": foreseen[None], "floor": floor[None], "ceiling": came[None]}
    return _anchored_rows(latent_footage(view, seen, futures, card.temporal_stride), LATENTS)


def _anchored_rows(footage: Footage, school: str) -> list[Row]:
    rows: list[Row] = [
        {"role": "anchored", "space": school, "gap": gap, **told}
        for gap, told in footage.by_gap().items()
    ]
    speeds = {f"{name}.speed": footage.speed(name) for name in ("model", "ceiling")}
    return [*rows, {"role": "path", "space": school, **speeds}]


def _tsed_row(
    view: View,
    last: Float[Tensor, "3 h w"],
    rolled: Float[Tensor, "f 3 h w"],
    future: Float[Tensor, "f 3 h w"],
    cut: Cut,
) -> Row:
    """Returns TSED of pairs of frames, the last of the context among them, of the first sample."""
    found: Row = {"role": "tsed"}
    for name, foreseen in (("model", rolled), ("ceiling", future)):
        shown = to_pixels(torch.cat([last[None], foreseen]))
        pairs = [
            _pair(view, shown[i], shown[i + _APART], cut.context - 1 + i)
            for i in range(len(shown) - _APART)
        ]
        told = tsed(pairs)
        found |= _told(name, told)
        errors = [
            float(np.median(sampson_error(pair.F, pair.x_a, pair.x_b))) / pair.unit
            for pair in pairs
            if pair.F is not None and pair.enough
        ]
        found[f"{name}.sampson"] = float(np.median(errors)) if errors else None
        if name == "ceiling" and told.frozen is not None:
            found |= {
                f"floor.{threshold:g}": share
                for threshold, share in zip(told.thresholds, told.frozen, strict=True)
            }
    return found


def _pair(
    view: View,
    one: UInt8[np.ndarray, "h w 3"],
    other: UInt8[np.ndarray, "h w 3"],
    frame: int,
) -> Pair:
    matrix = view.intrinsics.cpu().numpy()
    poses = [view.cameras[at].cpu().numpy() for at in (frame, frame + _APART)]
    x_a, x_b = matches(one, other)
    return Pair(x_a, x_b, fundamental(matrix, poses[0], matrix, poses[1]), view.size)


def _told(name: str, told: Tsed) -> Row:
    shares = told.consistent if told.consistent is not None else [None] * len(THRESHOLDS)
    curve = zip(told.thresholds, shares, strict=True)
    return {
        **{f"{name}.{threshold:g}": share for threshold, share in curve},
        f"{name}.enough": told.enough / told.pairs if told.pairs else None,
        f"{name}.status": told.status,
    }


def geometry_rows(
    readout: GeometryReadout,
    view: View,
    cut: Cut,
    space: str,
    came: Float[Tensor, "f h w d"],
    foreseen: Float[Tensor, "f h w d"] | None,
) -> list[Row]:
    """Returns what is read off a future and off the real one, and what nobody need see."""
    frames = future_frames(cut, cut.horizon // len(came))
    real = Future(view, came, frames)
    found = [
        {"future": "ceiling", **readout.row(real)},
        {"future": "floor", **readout.usual_row(real)},
    ]
    if foreseen is not None:
        found.insert(0, {"future": "model", **readout.row(Future(view, foreseen, frames))})
    return [{"role": "geometry", "space": space, **row} for row in found]
