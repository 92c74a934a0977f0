"""A future held against what the context showed: similarity by gap, and the speed of its path.

Pixels are compared with those of the context, as seen from there. Latents are compared with the
real future's own, in those tokens whose surface the context showed elsewhere. Against the
context's latents whoever leaves out what changes with the view would beat the real future: its
latents with noise taken off, or the context's own carried along. Against the real future's nobody
can have a cosine above 1, and shrinking, averaging or smoothing latents only turns them away.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from worldbench.metrics.reprojection import fit_path_speed, masked_ncc, token_cosine, warp
from worldbench.suites.view_geometry import SPEEDS, TOKENS_MOVED, View

PIXELS, LATENTS = "pixels", "latents"
"""What is compared: frames by normalised cross-correlation, or latents by their cosine."""

CARRIED = "carried"
"""The future whose latents are the anchor's, each where its surface went."""

Grid = Float[Tensor, "c h w"]
Compare = Callable[[Grid, Grid, Float64[Tensor, "h w 2"], Bool[Tensor, "h w"]], float | None]
"""Of a foreseen grid and a real one, with where the real one is seen again."""


def compare_pixels(
    foreseen: Grid, real: Grid, places: Float64[Tensor, "h w 2"], mask: Bool[Tensor, "h w"]
) -> float | None:
    """Returns the correlation of a foreseen frame, as the real one saw it, with the real one."""
    return masked_ncc(warp(foreseen, places), real, mask)


def compare_latents(
    foreseen: Grid, real: Grid, places: Float64[Tensor, "h w 2"], mask: Bool[Tensor, "h w"]
) -> float | None:
    """Returns the mean cosine of foreseen latents and real ones, both less what is shared."""
    return token_cosine(foreseen, real, places, mask, real.new_zeros(len(real)))


@dataclass(frozen=True, eq=False)
class Footage:
    """Grids of one view and the frames that they show.

    Attributes:
        view: The truth.
        patch: Side of a cell in pixels.
        real: Grids of the context.
        seen: The frame of each of them.
        futures: Grids of each future by name, several samples of each.
        frames: The frame of each grid of a future.
        compare: How grids are compared.
        parallax: Cells by which what is compared must have moved.
    """

    view: View
    patch: int
    real: Float[Tensor, "a c h w"]
    seen: Sequence[int]
    futures: Mapping[str, Float[Tensor, "_ f c h w"]]
    frames: Sequence[int]
    compare: Compare
    parallax: float

    def by_gap(self) -> dict[int, dict[str, float]]:
        """Returns the similarity of each future by gap in frames, where there is one.

        The anchor is the last grid of the context: seen from an earlier one much is displaced, and
        a copy of the last is hardly out of date. A gap counts where enough is seen again and every
        future says something of it, so all are measured on the same pairs.
        """
        again = self.view.again(
            [self.seen[-1]] * len(self.frames), list(self.frames), self.patch, self.parallax
        )
        found: dict[int, dict[str, float]] = {}
        for f, (places, mask) in enumerate(zip(again.places, again.mask, strict=True)):
            told = {
                name: self._mean(future[:, f], self.real[-1], places, mask)
                for name, future in self.futures.items()
            }
            known = {name: value for name, value in told.items() if value is not None}
            if len(known) == len(self.futures):
                found[self.frames[f] - self.seen[-1]] = known
        return found

    def recalled(self) -> dict[int, dict[str, float]]:
        """Returns by gap in frames how alike futures are to the real one, where it was seen before.

        Counted are cells of the real future whose surface the last grid of the context shows in
        another cell. Beside the futures, ``carried``: the cells of that grid where their surfaces
        went, which shows how far what is compared follows surfaces at all.
        """
        again = self.view.again(
            list(self.frames), [self.seen[-1]] * len(self.frames), self.patch, self.parallax
        )
        here = _centres(*again.mask.shape[1:]).to(again.places)
        found: dict[int, dict[str, float]] = {}
        for f, (places, mask) in enumerate(zip(again.places, again.mask, strict=True)):
            real = self.futures["ceiling"][0, f]
            told = {
                name: self._mean(future[:, f], real, here, mask)
                for name, future in self.futures.items()
            }
            told[CARRIED] = self.compare(self.real[-1], real, places, mask)
            known = {name: value for name, value in told.items() if value is not None}
            if len(known) == len(told):
                found[self.frames[f] - self.seen[-1]] = known
        return found

    def speeds(self, names: Sequence[str]) -> dict[str, float | None]:
        """Returns the speed along the camera's path that futures fit best, seen from the context.

        Against the last grid of the context; None where no speed stands out.
        """
        ahead = np.array(self.frames) - self.seen[-1]
        steps = np.concatenate([speed * ahead for speed in SPEEDS]).astype(np.float64)
        again = self.view.along(self.seen[-1], steps, self.patch)
        shape = (len(SPEEDS), len(ahead))
        places = again.places.reshape(*shape, *again.places.shape[1:])
        mask = again.mask.reshape(*shape, *again.mask.shape[1:])
        found: dict[str, float | None] = {}
        for name in names:
            scores: list[float | None] = []
            for i in range(len(SPEEDS)):
                told = [
                    self._mean(self.futures[name][:, f], self.real[-1], places[i, f], mask[i, f])
                    for f in range(len(ahead))
                ]
                known = [value for value in told if value is not None]
                scores.append(float(np.mean(known)) if len(known) == len(told) else None)
            found[name] = fit_path_speed(scores, SPEEDS)
        return found

    def _mean(
        self, samples: Float[Tensor, "n c h w"], real: Grid, places: Tensor, mask: Tensor
    ) -> float | None:
        told = [self.compare(sample, real, places, mask) for sample in samples]
        known = [value for value in told if value is not None]
        return sum(known) / len(known) if len(known) == len(told) else None


def latent_footage(
    view: View,
    anchor: Float[Tensor, "h w d"],
    futures: Mapping[str, Float[Tensor, "_ f h w d"]],
    *,
    first: int,
    stride: int,
    patch: int,
) -> Footage:
    """Makes footage of latents; a latent step stands for its first frame.

    Args:
        view: The truth.
        anchor: The last latents of the context, less what is shared.
        futures: Latents by name, likewise; ``ceiling`` is the real future.
        first: The first frame after the context.
        stride: Frames per latent step.
        patch: Side of a token's patch in pixels.
    """
    steps = futures["ceiling"].shape[1]
    return Footage(
        view,
        patch,
        anchor.permute(2, 0, 1)[None],
        [first - stride],
        {name: future.permute(0, 1, 4, 2, 3) for name, future in futures.items()},
        [first + i * stride for i in range(steps)],
        compare_latents,
        TOKENS_MOVED,
    )


def _centres(rows: int, columns: int) -> Float64[Tensor, "rows columns 2"]:
    y, x = (torch.arange(n, dtype=torch.float64) + 0.5 for n in (rows, columns))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
