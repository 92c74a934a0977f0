"""A view seen again: what a future shows of the last context frame, beside it and what differs."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from worldbench.batches import to_pixels
from worldbench.metrics.reprojection import masked_ncc, warp
from worldbench.suites.quad_trials import Cut
from worldbench.suites.show import svg
from worldbench.suites.view_geometry import PIXELS_MOVED, View

_GAPS = 4  # frames shown of a future, at most
_CELL, _LEFT, _TOP, _BETWEEN = 126, 210, 96, 12
_WORST = 0.25
"""Mean difference of a pixel's channels that is drawn brightest."""
_UNSEEN = 0.25  # grey of what is not compared


@dataclass(frozen=True, eq=False)
class SeenView:
    """A view with the futures that are to be shown.

    Attributes:
        name: The clip.
        view: The truth.
        video: The real clip.
        futures: Futures by name, pixels; the real one first.
        cut: Where the clip is cut.
    """

    name: str
    view: View
    video: Float[Tensor, "t 3 h w"]
    futures: dict[str, Float[Tensor, "f 3 h w"]]
    cut: Cut


@dataclass(frozen=True, eq=False)
class _Again:
    """One frame of a future as the last context frame saw it."""

    shown: UInt8[np.ndarray, "h w 3"]
    wrong: UInt8[np.ndarray, "h w 3"]
    ncc: float | None


def reprojection_figure(seen: SeenView) -> str:
    """Returns the figure of one view as an SVG document."""
    horizon = seen.cut.horizon
    chosen = sorted({horizon * (k + 1) // _GAPS - 1 for k in range(_GAPS)} - {-1})
    anchor = seen.video[seen.cut.context - 1]
    images = [svg.image("anchor", to_pixels(anchor[None])[0], (_CELL, _CELL))]
    parts = _head(seen, chosen)
    for row, (name, future) in enumerate(seen.futures.items()):
        again = [_seen_again(seen, anchor, future, f) for f in chosen]
        top = _TOP + row * (2 * _CELL + 40)
        parts += _row(name, again, row, top)
        for column, each in enumerate(again):
            images.append(svg.image(f"s{row}-{column}", each.shown, (_CELL, _CELL)))
            images.append(svg.image(f"w{row}-{column}", each.wrong, (_CELL, _CELL)))
    bottom = _TOP + len(seen.futures) * (2 * _CELL + 40)
    about = (
        "Each future frame is sampled where true depth and poses say that the last context frame's "
        "pixels are seen again; grey is hidden there, out of view, or displaced by less than "
        f"{PIXELS_MOVED:g} pixels. Below each, the mean difference of the channels, brightest from "
        f"{_WORST:g} on. NCC: 1 is the same up to contrast, 0 says nothing."
    )
    told = svg.paragraph(16, bottom + 14, about, svg.WIDTH - 32)
    title = f"Seen again: {seen.name}"
    below = f"the camera moves on for {horizon} frames after a context of {seen.cut.context}"
    return svg.document(
        bottom + 17 * len(told) + 14, title, below, [*parts, *told], "".join(images)
    )


def _head(seen: SeenView, chosen: Sequence[int]) -> list[str]:
    parts = [
        svg.text(16, _TOP - 12, "last context frame", "head"),
        svg.use("anchor", 16, _TOP),
    ]
    for column, f in enumerate(chosen):
        said = f"frame {seen.cut.context + f}, {f + 1} later"
        parts.append(svg.text(_x(column) + _CELL / 2, _TOP - 12, said, "head", "middle"))
    return parts


def _row(name: str, again: Sequence[_Again], row: int, top: svg.Pixels) -> list[str]:
    parts = [] if row == 0 else [svg.path([(_LEFT - 20, top - 14), (svg.WIDTH - 16, top - 14)], "")]
    if row:
        parts.append(svg.text(16, top + 14, name, "title"))
    else:
        parts.append(svg.text(16, top + _CELL + 24, name, "title"))
    for column, each in enumerate(again):
        x = _x(column)
        said = "nothing to compare" if each.ncc is None else f"NCC {each.ncc:.2f}"
        parts += [
            svg.use(f"s{row}-{column}", x, top),
            svg.use(f"w{row}-{column}", x, top + _CELL + 4),
            svg.text(x + _CELL / 2, top + 2 * _CELL + 18, said, "said", "middle"),
        ]
    return parts


def _x(column: int) -> svg.Pixels:
    return _LEFT + column * (_CELL + _BETWEEN + 54)


def _seen_again(seen: SeenView, anchor: Tensor, future: Tensor, f: int) -> _Again:
    last = seen.cut.context - 1
    again = seen.view.again([last], [seen.cut.context + f], 1, PIXELS_MOVED)
    mask: Bool[Tensor, "h w"] = again.mask[0]
    warped = warp(future[f], again.places[0]).float()
    apart = (warped - anchor).abs().mean(dim=0).div(_WORST).clamp(0, 1)
    grey = torch.full_like(warped, _UNSEEN)
    levels = (255 * apart).round().to(torch.uint8).cpu().numpy()
    wrong = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    hidden = ~mask.cpu().numpy()
    wrong[hidden] = round(255 * _UNSEEN)
    shown = to_pixels(torch.where(mask, warped, grey)[None])[0]
    return _Again(shown, np.asarray(wrong, np.uint8), masked_ncc(warped, anchor, mask))
