"""Muon for the matrices of the blocks and AdamW for everything else, or AdamW for all.

:class:`Muon` does what ``torch.optim.Muon`` does (a test holds it to that), for all matrices at
once. A small network has dozens of small matrices, and orthogonalising them one by one keeps a GPU
waiting for hundreds of tiny kernels: 9 ms of a step of 50.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5
_MOMENTUM = 0.95
_EPS = 1e-7


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised (Jordan 2024, kellerjordan.github.io/posts/muon).

    Nesterov momentum, five Newton–Schulz steps in bfloat16, and updates scaled by
    0.2·√max(rows, columns) so that learning rates mean what they mean for AdamW (Liu et al. 2025,
    arXiv 2502.16982; ``adjust_lr_fn="match_rms_adamw"``). No weight decay.

    Args:
        matrices: Parameters with two axes.
        lr: Learning rate.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float) -> None:
        super().__init__(matrices, {"lr": lr})
        wrong = [tuple(p.shape) for g in self.param_groups for p in g["params"] if p.ndim != 2]
        if wrong:
            raise ValueError(f"Muon takes matrices, got shapes {wrong}")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Updates every matrix that has a gradient."""
        assert closure is None, "Muon evaluates no closure"
        for group in self.param_groups:
            moving = [p for p in group["params"] if p.grad is not None]
            if not moving:
                continue
            scales = [0.2 * math.sqrt(max(p.shape)) * group["lr"] for p in moving]
            updates = orthogonalised(self._momenta(moving))
            torch._foreach_mul_(updates, scales)
            torch._foreach_sub_(moving, updates)

    def _momenta(self, parameters: list[Tensor]) -> list[Tensor]:
        gradients = [p.grad for p in parameters if p.grad is not None]
        for parameter in parameters:
            if "momentum" not in self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        averages = [self.state[p]["momentum"] for p in parameters]
        torch._foreach_lerp_(averages, gradients, 1 - _MOMENTUM)
        return list(torch._foreach_lerp(gradients, averages, _MOMENTUM))


def orthogonalised(matrices: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
    """Moves all singular values of each matrix near 1 by Newton–Schulz iterations, in bfloat16.

    Tall matrices are transposed and all are padded with zeros to one shape, which changes no
    singular value but the added zeros, so that one product serves all of them.
    """
    a, b, c = _COEFFICIENTS
    wide = [m.mT if m.shape[0] > m.shape[1] else m for m in matrices]
    rows, columns = (max(m.shape[axis] for m in wide) for axis in (0, 1))
    x = wide[0].new_zeros(len(wide), rows, columns, dtype=torch.bfloat16)
    parts = [x[i, : m.shape[0], : m.shape[1]] for i, m in enumerate(wide)]
    torch._foreach_copy_(parts, wide)
    x /= x.norm(dim=(1, 2), keepdim=True).clamp(min=_EPS)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    cut = [x[i, : m.shape[0], : m.shape[1]] for i, m in enumerate(wide)]
    back = zip(matrices, cut, strict=True)
    return [(y.mT if m.shape[0] > m.shape[1] else y).to(m.dtype, copy=True) for m, y in back]


def optimisers(
    matrices: Iterable[Tensor],
    others: Iterable[Tensor],
    *,
    learning_rate: float,
    adamw_learning_rate: float,
) -> list[torch.optim.Optimizer]:
    """Returns Muon for the matrices and AdamW (β .9, .95, no decay) for the rest."""
    return [Muon(matrices, learning_rate), _adamw(list(others), adamw_learning_rate, 0.0)]


def adamw(
    matrices: Iterable[Tensor], others: Iterable[Tensor], *, learning_rate: float, decay: float
) -> list[torch.optim.Optimizer]:
    """Returns AdamW (β .9, .95) for all, whose weight decay is of the matrices alone."""
    return [
        _adamw(list(matrices), learning_rate, decay),
        _adamw(list(others), learning_rate, 0.0),
    ]


def _adamw(parameters: list[Tensor], learning_rate: float, decay: float) -> torch.optim.AdamW:
    fused = all(p.is_cuda for p in parameters)
    return torch.optim.AdamW(
        parameters, learning_rate, betas=(0.9, 0.95), weight_decay=decay, fused=fused
    )


def parted(network: nn.Module, stacks: Iterable[nn.Module]) -> tuple[list[Tensor], list[Tensor]]:
    """Parts a network's parameters: the matrices of its stacks of blocks, and everything else."""
    layers = [m for stack in stacks for m in stack.modules() if isinstance(m, nn.Linear)]
    matrices = [layer.weight for layer in layers]
    taken = {id(matrix) for matrix in matrices}
    return matrices, [p for p in network.parameters() if id(p) not in taken]


def trapezoid(step: int, steps: int, warmup: int, decay: float) -> float:
    """Returns the factor on learning rates: linear warm-up, constant, linear to 0 at the end.

    Args:
        step: Steps done.
        steps: Steps in all.
        warmup: Steps until the factor is 1.
        decay: Share of the steps over which it falls.
    """
    rising = (step + 1) / max(warmup, 1)
    falling = (steps - step) / max(decay * steps, 1)
    return min(1.0, rising, falling)


def cosine(step: int, steps: int, warmup: float, whole: float) -> float:
    """Returns the factor on learning rates: linear warm-up, then a cosine that is cut off.

    Args:
        step: Steps done.
        steps: Steps in all.
        warmup: Share of the steps until the factor is 1.
        whole: Share of the cosine, from 1 to 0, that is gone through until the end.
    """
    rising = (step + 1) / max(warmup * steps, 1)
    gone = max(step / max(steps, 1) - warmup, 0) / max(1 - warmup, 1e-9)
    return min(1.0, rising) * (1 + math.cos(math.pi * whole * min(gone, 1.0))) / 2
