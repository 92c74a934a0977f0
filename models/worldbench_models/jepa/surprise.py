"""How little a predictor expected what came (design §8): errors in latents, per latent step."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from worldbench_models.jepa.estimator import Estimator
from worldbench_models.windows import windows


def latent_error(
    network: Estimator,
    clips: Float[Tensor, "b t h w p"],
    context: int,
    *,
    fullclip: bool = False,
) -> Float64[Tensor, "b steps"]:
    """Returns |prediction − target| of the future, averaged over a step's values.

    Predictions see the context alone. A clip longer than a window is asked window by window, each
    predicted from its true past, so that each is a question as in training.

    Args:
        network: The model.
        clips: Patches of whole clips.
        context: Latent steps of context.
        fullclip: The target is what the future is within the encoded window, past and future, as
            published (V-JEPA: Garrido et al. 2025, arXiv 2502.11831), so that it has seen the
            context. Otherwise it is the window's future encoded alone: one that does not heed the
            context is then as surprised by a future whatever came before it.
    """
    errors = []
    for window in windows(context, clips.shape[1] - context, network.length):
        past = clips[:, window.start : window.split]
        future = clips[:, window.split : window.split + window.future]
        foreseen = network.foresee(network.encode(past), window.future)
        if fullclip:
            target = network.encode(torch.cat([past, future], dim=1))[:, window.prefix :]
        else:
            target = network.encode(future)
        # In float64, so that the mean adds no rounding to what two clips may have in common.
        errors.append((foreseen - target).abs().double().mean(dim=(2, 3, 4)))
    return torch.cat(errors, dim=1)
