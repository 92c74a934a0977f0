"""How little a denoiser expected what came (design §8): errors of its estimates, per latent step.

All noise is the suite's, so that the clips of a trial share it and differences cancel it; each
draw ε is paired with −ε, which cancels the part of the error that is linear in it.
"""

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import NoiseBank
from worldbench_models.dit.flow import noised
from worldbench_models.dit.sampler import Estimate
from worldbench_models.windows import windows


@dataclass(frozen=True)
class Denoising:
    """A denoiser that is asked for its errors.

    A clip longer than a window is asked window by window, each given its true past.

    Attributes:
        estimate: The model.
        levels: Noise levels, 0 < t < 1.
        draws: Pairs ±ε per level.
        length: Latent steps of a window.
    """

    estimate: Estimate
    levels: tuple[float, ...]
    draws: int
    length: int

    def curve(
        self,
        clean: Float[Tensor, "b t h w p"],
        context: int,
        noise: NoiseBank,
        *,
        history: bool = True,
    ) -> Float[Tensor, "b levels steps"]:
        """Returns ‖x̂ − x‖² of the future, averaged over a step's values, signs and draws.

        All future steps are noised at one level t, z = t·x + (1 − t)·ε.

        Args:
            clean: Patches of whole clips.
            context: Latent steps of context.
            noise: The suite's; asked for the future's shape ``t h w p`` at each level, draw, sign.
            history: False replaces the past by pure noise (level 0), the bank's of level 0 in the
                clip's shape.
        """
        future, whole = clean[:, context:], tuple(clean.shape[1:])
        curve = []
        for level in self.levels:
            errors = []
            for index, sign in itertools.product(range(self.draws), (1, -1)):
                fresh = noise.draw(tuple(future.shape[1:]), level=level, index=index, sign=sign)
                past = clean
                if not history:
                    past = noise.draw(whole, level=0.0, index=index, sign=sign).to(clean)
                noisy = noised(future, fresh.to(clean), clean.new_full(future.shape[:2], level))
                foreseen = self._foreseen(past, noisy, 1.0 if history else 0.0, level)
                errors.append((foreseen - future).square().mean(dim=(2, 3, 4)))
            curve.append(torch.stack(errors).mean(dim=0))
        return torch.stack(curve, dim=1)

    def contrast(
        self, clean: Float[Tensor, "b t h w p"], context: int, noise: NoiseBank
    ) -> Float[Tensor, "b levels steps"]:
        """Returns the error with the past minus the error without it; arguments as of ``curve``.

        Usually negative: the past helps. The less it helps, or the more it misleads, the less was
        the future expected from it, so higher is less expected; what is hard to denoise in any
        case cancels. Between matched quads the second term cancels: it is for shared prefixes.
        """
        with_past = self.curve(clean, context, noise)
        return with_past - self.curve(clean, context, noise, history=False)

    def _foreseen(
        self,
        past: Float[Tensor, "b t h w p"],
        noisy: Float[Tensor, "b f h w p"],
        past_level: float,
        level: float,
    ) -> Float[Tensor, "b f h w p"]:
        """Returns estimates of the future, each window's beside its past."""
        horizon = noisy.shape[1]
        context = past.shape[1] - horizon
        foreseen = []
        for window in windows(context, horizon, self.length):
            first = window.split - context
            shown = [past[:, window.start : window.split], noisy[:, first : first + window.future]]
            levels = noisy.new_full((len(noisy), window.prefix + window.future), level)
            levels[:, : window.prefix] = past_level
            foreseen.append(self.estimate(torch.cat(shown, dim=1), levels, window.prefix))
        return torch.cat(foreseen, dim=1)
