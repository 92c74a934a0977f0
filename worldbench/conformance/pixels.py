"""Checks of adapters that answer in pixels."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from worldbench.adapter import Adapter, Generates, Replays
from worldbench.answers import checked_rollout
from worldbench.conformance.futures import unmoved
from worldbench.conformance.legality import illegal_refused
from worldbench.conformance.outcome import Outcome, attempt, close, expect, same
from worldbench.conformance.subject import clips_for, context_of, fitting, horizon_of, longer
from worldbench.schema import Trial
from worldbench.suite import Setting

_HORIZONS = (1, 5, 12)


def _trials(clips: Tensor) -> list[Trial]:
    return [Trial(f"trial{i}", f"trial{i}", ()) for i in range(len(clips))]


def _seeds(clips: Tensor, run: int) -> list[int]:
    """Returns the seeds that a suite would give in a run of this seed: large and unordered."""
    return Setting(torch.device("cpu"), seed=run).seeds_for(_trials(clips))


def generates(adapter: Generates) -> Iterator[Outcome]:
    """Checks ``generate``."""
    assert isinstance(adapter, Adapter)
    card = adapter.card
    context, steps = context_of(adapter), horizon_of(adapter)
    asked = fitting(adapter, _HORIZONS)
    clips = clips_for(adapter, context + max(steps, *asked))
    usual, others = _seeds(clips, run=7), _seeds(clips, run=8)

    def rollout(
        part: Tensor = clips,
        horizon: int = steps,
        samples: int = 2,
        seeds: Sequence[int] = usual,
    ) -> Tensor:
        with torch.inference_mode():
            # A copy: what one check's call does to its context must not reach the next check.
            given = part.clone()[:, :context]
            out = adapter.generate(given, horizon, samples=samples, seeds=seeds)
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
        for horizon in asked:
            rollout(horizon=horizon)

    def determinism() -> str | None:
        same(rollout(), rollout(), "the same seeds give another rollout")
        if not card.stochastic:
            same(rollout(), rollout(seeds=others), "a deterministic adapter depends on the seeds")
            return None
        different = not torch.equal(rollout(), rollout(seeds=others))
        expect(different, "a stochastic adapter ignores the seeds")
        two = rollout().unbind(dim=1)
        expect(not torch.equal(*two), "two samples of a stochastic adapter are equal")
        return None

    def batches() -> None:
        together = rollout()
        alone = [rollout(clips[i : i + 1], seeds=usual[i : i + 1]) for i in range(len(clips))]
        close(together, torch.cat(alone), "results depend on the batch")
        order = [*range(1, len(clips)), 0]
        moved = rollout(clips[order], seeds=[usual[i] for i in order])
        close(together[order], moved, "results depend on the order of the batch")

    def prefix() -> None:
        given = clips.clone()
        with torch.inference_mode():
            adapter.generate(given[:, :context], steps, samples=2, seeds=usual)
        same(given, clips, "the context was changed in place")

    def leak() -> None:
        unmoved(
            adapter,
            clips[:1, : context + steps].flip(-1),
            context,
            lambda clip: rollout(clip, samples=1, seeds=usual[:1]),
            "the rollout moves with the future: a temporal leak",
        )

    def illegal() -> str | None:
        return illegal_refused(
            adapter,
            lambda clip, context: adapter.generate(
                clip[:, :context], card.temporal_stride, samples=1, seeds=usual[:1]
            ),
        )

    yield attempt("generate: shape, range, dtype, horizon met exactly", horizons)
    yield from longer("generate", adapter, _HORIZONS, lambda horizon: rollout(horizon=horizon))
    yield attempt("generate: determinism by seeds", determinism)
    yield attempt("generate: item i draws from seeds[i], whatever the batch", batches)
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
    trials = _trials(clips)

    def shape() -> None:
        out = adapter.replay(trials, clips, fps=8.0, samples=2)
        size = (clips.shape[-2], clips.shape[-1])
        checked_rollout(
            adapter.card.name, "replay", out, batch=len(clips), samples=2, horizon=8, size=size
        )

    yield attempt("replay: shape, range, dtype, horizon met exactly", shape)
