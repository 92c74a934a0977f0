"""What latents are worth: their rank and spread, and how well they are foreseen.

Pure functions on any device, in float64 where sums are long. They watch a training for collapse
(design §11) and are what the gates of a predictor measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor


def rank_me(features: Float[Tensor, "n d"]) -> float:
    """Returns the effective rank of features: in how many directions they vary, softly counted.

    The exponential of the entropy of σ / Σσ over the singular values of the centred features:
    RankMe (Garrido et al. 2023, arXiv 2210.02885, eq. 3; its ε guards the logarithm alone, and
    0 log 0 is 0 here), after Roy & Vetterli 2007. Centred (design §11), so that one large mean
    does not hide, or pass for, the directions in which features differ. k equal singular values
    give k.

    Args:
        features: One row per sample; its rank is at most min(n - 1, d).

    Returns:
        1 to min(n, d); 0 if nothing varies at all.
    """
    rows = features.double()
    values = torch.linalg.svdvals(rows - rows.mean(dim=0))
    total = values.sum()
    if float(total) == 0:
        return 0.0
    share = values / total
    return float(torch.exp(-torch.xlogy(share, share).sum()))


def spread(features: Float[Tensor, "n d"]) -> float:
    """Returns the mean over channels of the standard deviation over rows (n - 1), 0 if collapsed.

    As VICReg watches it (Bardes et al. 2022, arXiv 2105.04906, §4.1).
    """
    return float(features.double().std(dim=0).mean())


@dataclass(frozen=True, eq=False)
class Constants:
    """What can be said of latents before seeing any context, fitted on real ones.

    Attributes:
        mean: The one mean of all tokens.
        median: Of each position and channel over clips and steps: what never moves.
    """

    mean: Float[Tensor, " d"]
    median: Float[Tensor, "h w d"]


def constants(real: Float[Tensor, "n t h w d"]) -> Constants:
    """Fits the constant baselines of :func:`prediction_skill`.

    Args:
        real: Latents of clips that are not scored, encoded as those that are.
    """
    flat = real.flatten(0, 1)
    mean = flat.mean(dim=(0, 1, 2), dtype=torch.float64).to(real.dtype)
    rows = [row.median(dim=0).values for row in flat.unbind(dim=1)]  # the whole would be copied
    return Constants(mean, torch.stack(rows))


BASELINES = ("mean", "median", "copy", "still")
"""``mean`` and ``median`` of :class:`Constants`; the latents of the last context step, copied
(poor where latents tell the step they are at, or how long the clip is); and those of a future in
which the last context frame stands still, which only what moves can beat."""


@dataclass(frozen=True, eq=False)
class Skills:
    """Errors of a prediction and of its baselines, one per clip, so that clips can be resampled.

    Each is the mean absolute error over a clip's future tokens and channels.

    Attributes:
        prediction: Of what was predicted.
        mean: Of the global mean.
        median: Of the median of each position and channel.
        copy: Of the last context step's latents, copied to every future step.
        still: Of the latents of a future in which the last context frame stands still.
    """

    prediction: Float64[Tensor, " n"]
    mean: Float64[Tensor, " n"]
    median: Float64[Tensor, " n"]
    copy: Float64[Tensor, " n"]
    still: Float64[Tensor, " n"]

    def against(self, baseline: str) -> float:
        """Returns 1 − Σ error of the prediction / Σ error of the baseline over clips.

        Args:
            baseline: One of :data:`BASELINES`.

        Returns:
            1 for a perfect prediction, 0 for one as good as the baseline, below 0 for a worse one.

        Raises:
            ValueError: If there is no such baseline, or it makes no error to compare with.
        """
        if baseline not in BASELINES:
            raise ValueError(f"baseline {baseline!r} is none of {', '.join(BASELINES)}")
        below = float(getattr(self, baseline).sum())
        if below == 0:
            raise ValueError(f"{baseline} makes no error: latents that never differ have no skill")
        return 1 - float(self.prediction.sum()) / below


def prediction_skill(
    predicted: Float[Tensor, "n f h w d"],
    came: Float[Tensor, "n f h w d"],
    last: Float[Tensor, "n h w d"],
    still: Float[Tensor, "n f h w d"],
    known: Constants,
) -> Skills:
    """Compares predicted latents with those that came, in L1 as V-JEPA's loss has it.

    The skill of forecasts is that of meteorology (Murphy 1988, Mon. Weather Rev. 116), with
    absolute in the place of squared errors (Bardes et al. 2024, arXiv 2404.08471, eq. 1).

    Args:
        predicted: Latents of the future, from the context alone.
        came: Latents of the real future.
        last: Real latents of the last context step.
        still: Latents of the future, were every frame of it the last of the context.
        known: Constant baselines, fitted on other clips.

    Returns:
        Errors by clip.
    """
    return Skills(
        _clip_error(predicted, came),
        _clip_error(known.mean.expand_as(came), came),
        _clip_error(known.median.expand_as(came), came),
        _clip_error(last[:, None].expand_as(came), came),
        _clip_error(still, came),
    )


def joined(parts: Sequence[Skills]) -> Skills:
    """Puts the clips of several batches together."""
    return Skills(
        torch.cat([part.prediction for part in parts]),
        torch.cat([part.mean for part in parts]),
        torch.cat([part.median for part in parts]),
        torch.cat([part.copy for part in parts]),
        torch.cat([part.still for part in parts]),
    )


def _clip_error(one: Tensor, other: Tensor) -> Float64[Tensor, " n"]:
    return (one.float() - other.float()).abs().mean(dim=(1, 2, 3, 4), dtype=torch.float64)
