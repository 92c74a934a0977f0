"""Training attentive probes: AdamW on all heads of a grid at once, each with its own settings."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from worldbench.probes.attentive import Parameters, Pooler

_CLIP = 1.0


@runtime_checkable
class Tokens(Protocol):
    """Tokens of many clips, which need not fit into memory."""

    def __len__(self) -> int:
        """Returns how many clips there are."""
        ...

    def take(self, index: Int64[Tensor, " b"]) -> Float[Tensor, "b n d"]:
        """Returns the tokens of some clips, in any order."""
        ...


@dataclass(frozen=True)
class Step:
    """How one head is trained.

    Attributes:
        rate: Learning rate at the start; it falls to 0 along a half cosine.
        decay: Decoupled weight decay of matrices and of the query.
    """

    rate: float
    decay: float


@dataclass(frozen=True)
class Schedule:
    """What all heads share.

    Attributes:
        epochs: Passes over the clips.
        least: Steps that there are at least, of more passes: a hundred clips pass in no time.
        batch: Clips a step.
        seed: Of the starting values and of the order of clips.
    """

    epochs: int = 20
    least: int = 300
    batch: int = 64
    seed: int = 0

    def orders(self, clips: int) -> Iterator[Int64[Tensor, " b"]]:
        """Yields which clips each step sees."""
        generator = torch.Generator().manual_seed(self.seed)
        for _ in range(self.passes(clips)):
            yield from torch.split(torch.randperm(clips, generator=generator), self.batch)

    def passes(self, clips: int) -> int:
        """Returns how often every clip is seen."""
        return max(self.epochs, math.ceil(self.least / self._steps(clips)))

    def total(self, clips: int) -> int:
        """Returns how many steps there are."""
        return self.passes(clips) * self._steps(clips)

    def _steps(self, clips: int) -> int:
        return math.ceil(clips / self.batch)


@dataclass(frozen=True)
class AttentiveHeads:
    """Trained heads.

    Attributes:
        pooler: Their shape.
        given: Their parameters.
    """

    pooler: Pooler
    given: Parameters

    def scores(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "g b k"]:
        """Returns the probability of every class."""
        with torch.no_grad():
            return self.pooler(self.given, tokens.to(self.given["query"])).softmax(dim=2)


def fit_attentive(
    tokens: Tokens,
    labels: Int64[Tensor, " n"],
    classes: int,
    steps: Sequence[Step],
    schedule: Schedule,
    *,
    depth: int = 1,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> AttentiveHeads:
    """Trains one head per step setting, all on the same clips in the same order.

    The gradient of each head is clipped to norm 1 by itself, so no head's training depends on who
    is trained beside it.

    Args:
        tokens: Of the clips to train on.
        labels: Class of each, from 0.
        classes: How many there are.
        steps: One head each.
        schedule: What they share.
        depth: Of the pooler.
        device: Where to train; that of the labels if None.
        dtype: Of the arithmetic.
    """
    device = labels.device if device is None else device
    width = tokens.take(torch.zeros(1, dtype=torch.int64)).shape[-1]
    pooler = Pooler(width, classes, depth)
    like = torch.empty(0, dtype=dtype, device=device)
    given = pooler.start(len(steps), schedule.seed, like)
    optimiser = StackedAdamW(given, steps)
    total, wanted = schedule.total(len(tokens)), labels.to(device)
    for i, index in enumerate(schedule.orders(len(tokens))):
        logits = pooler(given, tokens.take(index).to(like))
        target = wanted[index.to(device)].expand(len(steps), -1)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), target.flatten(), reduction="sum"
        )
        # A sum over heads: each gets the gradient of its own mean.
        torch.autograd.backward(loss / len(index))
        optimiser.step(0.5 * (1 + math.cos(math.pi * i / total)))
    return AttentiveHeads(pooler, {name: value.detach() for name, value in given.items()})


class StackedAdamW:
    """AdamW (Loshchilov & Hutter 2019) on stacked heads, with a rate and a decay of each.

    The optimiser is torch's: it is given a view of every head's part of every parameter.

    Args:
        given: Parameters, ``g …`` each.
        steps: Settings of the heads.
    """

    def __init__(self, given: Parameters, steps: Sequence[Step]) -> None:
        self._given, self._rates = given, []
        groups: list[dict[str, Any]] = []
        self._views: list[tuple[str, int, Tensor]] = []
        for head, step in enumerate(steps):
            for decayed in (True, False):
                views = [
                    (name, head, value.detach()[head].requires_grad_())
                    for name, value in given.items()
                    if (value.ndim > 2 or name == "query") == decayed
                ]
                self._views += views
                self._rates.append(step.rate)
                decay = step.decay if decayed else 0.0
                groups.append({"params": [v for *_, v in views], "weight_decay": decay})
        self._optimiser = torch.optim.AdamW(groups, fused=True)

    def step(self, share: float) -> None:
        """Moves all parameters by their gradients, and forgets these.

        Args:
            share: Of each head's rate, by the schedule.
        """
        gradients = {n: value.grad for n, value in self._given.items() if value.grad is not None}
        norm = torch.stack([g.flatten(1).norm(dim=1) for g in gradients.values()]).norm(dim=0)
        clip = _CLIP / norm.clamp(min=_CLIP)
        for gradient in gradients.values():
            gradient.mul_(clip.reshape(-1, *(1,) * (gradient.ndim - 1)))
        for name, head, view in self._views:
            view.grad = gradients[name][head] if name in gradients else None
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = share * rate
        self._optimiser.step()
        for value in self._given.values():
            value.grad = None
