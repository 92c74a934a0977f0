"""What adapters answer, checked at the boundary before a suite relies on it."""

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import Latents
from worldbench.errors import ContractError


def checked_rollout(
    adapter: str,
    call: str,
    rollout: object,
    *,
    batch: int,
    samples: int,
    horizon: int,
    size: tuple[int, int],
) -> Float[Tensor, "b s t 3 h w"]:
    """Validates what ``generate`` or ``replay`` returned.

    Args:
        adapter: The adapter's name, for the message.
        call: The call that returned it, for the message.
        rollout: The value returned.
        batch: Number of trials asked for.
        samples: Number of samples asked for.
        horizon: Number of future frames asked for.
        size: Height and width of the context.

    Returns:
        The rollout, unchanged.

    Raises:
        ContractError: If it is not a float32 tensor of the shape asked for, finite and in [0, 1].
    """
    wanted = (batch, samples, horizon, 3, *size)
    where = f"adapter {adapter!r}, call {call}"
    if not isinstance(rollout, Tensor):
        raise ContractError(
            f"{where}: not a tensor",
            seen=type(rollout).__name__,
            accepted=f"a float32 tensor b s t c h w = {wanted}",
            fix="return torch.stack(...) or torch.from_numpy(...)",
        )
    if tuple(rollout.shape) != wanted:
        hint = _shape_hint(tuple(rollout.shape), wanted)
        raise ContractError(
            f"{where}: wrong shape{hint}",
            seen=tuple(rollout.shape),
            accepted=f"b s t c h w = {wanted}",
            fix=f"return the future only; then `worldbench check adapter={adapter}`",
        )
    if rollout.dtype != torch.float32:
        raise ContractError(
            f"{where}: wrong dtype",
            seen=rollout.dtype,
            accepted="torch.float32",
            fix="call .float() on the result",
        )
    checked_range(where, rollout)
    return rollout


def _shape_hint(seen: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if len(seen) == len(wanted) and seen[2] != wanted[2] and seen[:2] == wanted[:2]:
        return f" (wrong number of frames: {seen[2]} instead of {wanted[2]})"
    return ""


def checked_range(where: str, video: Float[Tensor, "..."]) -> None:
    """Refuses values that are not finite or lie outside [0, 1] by more than 1e-4.

    Raises:
        ContractError: With the count of non-finite values or the range seen.
    """
    broken = int((~torch.isfinite(video)).sum())
    if broken:
        raise ContractError(
            f"{where}: values that are not finite",
            seen=f"{broken} of {video.numel()} are NaN or infinite",
            accepted="finite float32 in [0, 1]",
            fix="check the weights, and the precision (bf16 and fp16 overflow: precision=fp32)",
        )
    low, high = (float(v) for v in torch.aminmax(video))
    if low < -1e-4 or high > 1 + 1e-4:
        raise ContractError(
            f"{where}: values outside the range",
            seen=f"[{low:.4g}, {high:.4g}]",
            accepted="[0, 1]",
            fix="undo the model's normalisation, e.g. (x + 1) / 2, and clamp",
        )


def checked_latents(
    adapter: str, call: str, latents: object, *, batch: int, frames: int
) -> Latents:
    """Validates what ``encode`` or ``predict`` returned for so many frames.

    Raises:
        ContractError: If it is no grid of floats, batch or number of latent steps is wrong, or
            values are not finite.
    """
    where = f"adapter {adapter!r}, call {call}"
    if not isinstance(latents, Latents):
        raise ContractError(
            f"{where}: no latents",
            seen=type(latents).__name__,
            accepted="a worldbench.adapter.Latents",
            fix="return Latents(tokens, temporal_stride)",
        )
    _require_grid(where, latents)
    steps = -(-frames // latents.temporal_stride)
    if latents.tokens.shape[:2] != (batch, steps):
        raise ContractError(
            f"{where}: wrong shape",
            seen=tuple(latents.tokens.shape),
            accepted=f"b={batch}, t'={steps} ({frames} frames at temporal stride "
            f"{latents.temporal_stride}), h', w', d",
            fix="give one latent step per temporal stride of the frames asked for",
        )
    if not bool(torch.isfinite(latents.tokens).all()):
        raise ContractError(
            f"{where}: latents that are not finite",
            accepted="finite floats",
            fix="check the weights and the precision",
        )
    return latents


def _require_grid(where: str, latents: Latents) -> None:
    """Refuses latents that are no floats ``b t' h' w' d`` of a temporal stride.

    Raises:
        ContractError: With what they are instead.
    """
    tokens, stride = latents.tokens, latents.temporal_stride
    if not isinstance(tokens, Tensor) or tokens.dim() != 5:
        raise ContractError(
            f"{where}: tokens that are no grid",
            seen=tuple(tokens.shape) if isinstance(tokens, Tensor) else type(tokens).__name__,
            accepted="a tensor b t' h' w' d",
            fix="reshape tokens to b t h w d (h = 1 for a row)",
        )
    if not tokens.is_floating_point():
        raise ContractError(
            f"{where}: wrong dtype",
            seen=tokens.dtype,
            accepted="floats",
            fix="give the features themselves, not indices of a codebook; else .float()",
        )
    if stride < 1:
        raise ContractError(
            f"{where}: no temporal stride",
            seen=stride,
            accepted="frames per latent step, 1 or more",
            fix="Latents(tokens, temporal_stride=self.card.temporal_stride)",
        )
