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
from worldbench.suites.means import mean_row
from worldbench.suites.quad_trials import Cut
from worldbench.suites.surprise import last_context
from worldbench.suites.view_geometry import PIXELS_MOVED, View, patch_of

TRAINING_MEAN = "training_mean"
"""The future that nobody need look for: what is usual on training views."""


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
    epipolar = tsed_row(geometry, context[-1], rolled, future, seen[-1])
    return [*_anchored_rows(footage, PIXELS, footage.by_gap()), epipolar]


def latent_rows(
    view: View,
    last: Float[Tensor, "h w d"],
    came: Float[Tensor, "f h w d"],
    foreseen: Float[Tensor, "f h w d"],
    cut: Cut,
) -> list[Row]:
    """Measures foreseen latents: where the context is seen again, and the speed of the path.

    Args:
        view: The truth.
        last: The last latents of the context, less what those of training views share.
        came: The real future's, likewise.
        foreseen: What was foreseen, less what is foreseen of all training views.
        cut: Where the context ends.
    """
    patch = patch_of(view.size, *came.shape[1:3])
    if patch is None:
        return [unmeasured(LATENTS, view.size, came.shape[1:3])]
    futures = {"model": foreseen, "floor": last.expand_as(came), "ceiling": came}
    footage = latent_footage(
        view,
        last,
        {name: future[None] for name, future in futures.items()},
        first=cut.context,
        stride=cut.horizon // len(came),
        patch=patch,
    )
    return _anchored_rows(footage, LATENTS, footage.recalled())


def unmeasured(space: str, size: tuple[int, int], grid: Sequence[int]) -> Row:
    """Says that a grid of tokens cannot be laid over the pictures."""
    why = f"{grid[0]} × {grid[1]} tokens do not tile {size[0]} × {size[1]} pixels in squares"
    return {"role": "unmeasured", "space": space, "reason": why}


def _anchored_rows(
    footage: Footage, school: str, by_gap: Mapping[int, Mapping[str, float]]
) -> list[Row]:
    rows: list[Row] = [
        {"role": "anchored", "space": school, "gap": gap, **told} for gap, told in by_gap.items()
    ]
    fitted = footage.speeds(("model", "ceiling"))
    told = {f"{name}.speed": speed for name, speed in fitted.items()}
    return [*rows, {"role": "path", "space": school, **told}]


def geometry_rows(
    readout: GeometryReadout,
    view: View,
    cut: Cut,
    space: str,
    futures: Mapping[str, Float[Tensor, "_ f h w d"]],
) -> list[Row]:
    """Returns what is read off futures by name, and what the training views' mean says.

    Args:
        readout: Fitted on training views.
        view: The truth.
        cut: Where it is cut.
        space: Of the latents.
        futures: Latents by name, samples of each; a row is their mean.
    """
    frames = future_frames(cut, cut.horizon // futures["ceiling"].shape[1])
    found: list[Row] = []
    for name, samples in futures.items():
        told = [readout.row(Future(view, tokens, frames)) for tokens in samples]
        found.append({"future": name, **mean_row(told)})
    real = Future(view, futures["ceiling"][0], frames)
    found.append({"future": TRAINING_MEAN, **readout.usual_row(real)})
    return [{"role": "geometry", "space": space, **row} for row in found]
