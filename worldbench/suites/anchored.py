"""A future held against what the context showed: similarity by gap, and the speed of its path."""

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

Grid = Float[Tensor, "c h w"]
Compare = Callable[[Grid, Grid, Float64[Tensor, "h w 2"], Bool[Tensor, "h w"]], float | None]
"""Of a foreseen grid and a real one, with where the real one is seen again."""


def compare_pixels(
    foreseen: Grid, real: Grid, places: Float64[Tensor, "h w 2"], mask: Bool[Tensor, "h w"]
) -> float | None:
    """Returns the correlation of a foreseen frame, as the real one saw it, with the real one."""
    return masked_ncc(warp(foreseen, places), real, mask)


def compare_latents(mean: Float[Tensor, " d"]) -> Compare:
    """Makes the comparison of latents whose common part is ``mean``."""

    def compare(foreseen: Grid, real: Grid, places: Tensor, mask: Tensor) -> float | None:
        return token_cosine(foreseen, real, places, mask, mean)

    return compare


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
    context: Float[Tensor, "a h w d"],
    futures: Mapping[str, Float[Tensor, "_ f h w d"]],
    stride: int,
    patch: int,
) -> Footage:
    """Makes footage of latents; a latent step stands for its first frame.

    Args:
        view: The truth.
        context: Latents of the context.
        futures: Latents by name; ``ceiling`` is the real future.
        stride: Frames per latent step.
        patch: Side of a token's patch in pixels.
    """
    steps = next(iter(futures.values())).shape[1]
    real = torch.cat([context.flatten(0, 2), futures["ceiling"].flatten(0, 3)]).double()
    return Footage(
        view,
        patch,
        context.permute(0, 3, 1, 2),
        [i * stride for i in range(len(context))],
        {name: future.permute(0, 1, 4, 2, 3) for name, future in futures.items()},
        [(len(context) + i) * stride for i in range(steps)],
        compare_latents(real.mean(dim=0)),
        TOKENS_MOVED,
    )
