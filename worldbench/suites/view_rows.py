"""What is measured of one view: of frames, of latents, of what is read off them."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from worldbench.schema import AdapterCard
from worldbench.suite import Row
from worldbench.suites.anchored import LATENTS, PIXELS, Footage, compare_pixels, latent_footage
from worldbench.suites.consistency3d import CONTEXT
from worldbench.suites.consistency3d_readout import Future, GeometryReadout
from worldbench.suites.epipolar_rows import true_geometry, tsed_row
from worldbench.suites.quad_trials import Cut
from worldbench.suites.surprise import last_context
from worldbench.suites.view_geometry import PIXELS_MOVED, View, patch_of


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
    matrices = view.intrinsics.expand_as(view.cameras[:, :3, :3]).cpu().numpy()
    geometry = true_geometry(matrices, view.cameras.cpu().numpy())
    epipolar = tsed_row(geometry, context[-1], rolled[0], future, seen[-1])
    return [*_anchored_rows(footage, PIXELS), epipolar]


def latent_rows(
    card: AdapterCard,
    view: View,
    seen: Float[Tensor, "a h w d"],
    came: Float[Tensor, "f h w d"],
    foreseen: Float[Tensor, "f h w d"],
) -> list[Row]:
    """Measures foreseen latents: what is seen again, and the speed of the path."""
    patch = patch_of(view.size, *came.shape[1:3])
    if patch is None:
        return [unmeasured(LATENTS, view.size, came.shape[1:3])]
    floor = seen[-1:].expand_as(came)
    futures = {"model": foreseen[None], "floor": floor[None], "ceiling": came[None]}
    footage = latent_footage(view, seen, futures, card.temporal_stride, patch)
    return _anchored_rows(footage, LATENTS)


def unmeasured(space: str, size: tuple[int, int], grid: Sequence[int]) -> Row:
    """Says that a grid of tokens cannot be laid over the pictures."""
    why = f"{grid[0]} × {grid[1]} tokens do not tile {size[0]} × {size[1]} pixels in squares"
    return {"role": "unmeasured", "space": space, "reason": why}


def _anchored_rows(footage: Footage, school: str) -> list[Row]:
    rows: list[Row] = [
        {"role": "anchored", "space": school, "gap": gap, **told}
        for gap, told in footage.by_gap().items()
    ]
    fitted = footage.speeds(("model", "ceiling"))
    told = {f"{name}.speed": speed for name, speed in fitted.items()}
    return [*rows, {"role": "path", "space": school, **told}]


def geometry_rows(
    readout: GeometryReadout,
    view: View,
    cut: Cut,
    space: str,
    futures: Mapping[str, Float[Tensor, "f h w d"]],
) -> list[Row]:
    """Returns what is read off futures by name, and ``usual``: what nobody need look for."""
    frames = future_frames(cut, cut.horizon // len(futures["ceiling"]))
    known = {name: Future(view, tokens, frames) for name, tokens in futures.items()}
    found: list[Row] = [{"future": name, **readout.row(each)} for name, each in known.items()]
    found.append({"future": "usual", **readout.usual_row(known["ceiling"])})
    return [{"role": "geometry", "space": space, **row} for row in found]
