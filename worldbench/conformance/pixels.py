"""Checks of adapters that answer in pixels."""

from collections.abc import Iterator

import torch
from torch import Tensor

from worldbench.adapter import Adapter, Generates, Replays, checked_rollout
from worldbench.conformance.outcome import Outcome, attempt, close, expect, same
from worldbench.conformance.subject import clips_for, context_of
from worldbench.errors import ContractError, WorldbenchError
from worldbench.schema import Trial

_HORIZONS = (1, 5, 12)


def generates(adapter: Generates) -> Iterator[Outcome]:
    """Checks ``generate``."""
    assert isinstance(adapter, Adapter)
    card = adapter.card
    context = context_of(adapter)
    stride = card.temporal_stride
    clips = clips_for(adapter, context + max(_HORIZONS))

    def rollout(
        part: Tensor = clips, horizon: int = 4 * stride, samples: int = 2, seed: int = 7
    ) -> Tensor:
        with torch.inference_mode():
            # A copy: what one check's call does to its context must not reach the next check.
            given = part.clone()[:, :context]
            out = adapter.generate(given, horizon, samples=samples, seed=seed)
        return checked_rollout(
            card.name,
            "generate",
            out,
            batch=len(part),
            samples=samples,
            horizon=horizon,
            size=(part.shape[-2], part.shape[-1]),
        )

    def horizons() -> None:
        for horizon in _HORIZONS:
            rollout(horizon=horizon)

    def seeds() -> str | None:
        same(rollout(), rollout(), "the same seed gives another rollout")
        if not card.stochastic:
            same(rollout(), rollout(seed=8), "a deterministic adapter depends on the seed")
            return None
        different = not torch.equal(rollout(), rollout(seed=8))
        expect(different, "a stochastic adapter ignores the seed")
        two = rollout().unbind(dim=1)
        expect(not torch.equal(*two), "two samples of a stochastic adapter are equal")
        return None

    def batches() -> None:
        alone = [rollout(clips[i : i + 1], seed=7 + i) for i in range(len(clips))]
        close(rollout(), torch.cat(alone), "results depend on the batch")

    def prefix() -> None:
        given = clips.clone()
        with torch.inference_mode():
            adapter.generate(given[:, :context], 4 * stride, samples=2, seed=7)
        same(given, clips, "the context was changed in place")

    def leak() -> None:
        perturbed = clips.clone()
        perturbed[:, context:] = 1 - perturbed[:, context:]
        same(rollout(), rollout(perturbed), "the rollout moves with the future: a temporal leak")

    def illegal() -> str | None:
        illegal = [c for c in range(1, context) if not card.legal_context(c)]
        if not illegal:
            return "every shorter context is legal"
        try:
            adapter.generate(clips[:, : illegal[0]], stride, samples=1, seed=0)
        except (ValueError, WorldbenchError):
            return None
        raise ContractError("an illegal context was accepted", seen=f"{illegal[0]} frames")

    yield attempt("generate: shape, range, dtype, horizon met exactly", horizons)
    yield attempt("generate: determinism by seed", seeds)
    yield attempt("generate: item i draws from seed + i, whatever the batch", batches)
    yield attempt("generate: context not altered", prefix)
    yield attempt("generate: no temporal leak", leak)
    yield attempt("generate: illegal contexts refused", illegal)


def replays(adapter: Replays) -> Iterator[Outcome]:
    """Checks ``replay`` of an oracle; stored rollouts answer only their own trials."""
    assert isinstance(adapter, Adapter)
    if adapter.card.family != "oracle":
        yield Outcome("replay: on trials of a suite", None, "stored rollouts need their own trials")
        return
    clips = clips_for(adapter, 8)
    trials = [Trial(f"trial{i}", f"trial{i}", ()) for i in range(len(clips))]

    def shape() -> None:
        out = adapter.replay(trials, clips, fps=8.0, samples=2)
        size = (clips.shape[-2], clips.shape[-1])
        checked_rollout(
            adapter.card.name, "replay", out, batch=len(clips), samples=2, horizon=8, size=size
        )

    yield attempt("replay: shape, range, dtype, horizon met exactly", shape)
