import hashlib
from typing import Any, ClassVar

import pytest
import torch

from worldbench.cell import Question
from worldbench.data.worlds.data import WorldData
from worldbench.errors import ContractError
from worldbench.scale import Scale
from worldbench.schema import Trial
from worldbench.suite import Batch, Setting

CPU = torch.device("cpu")
TRIALS = tuple(Trial(f"video{i // 4}@{i % 4}", f"video{i // 4}", ()) for i in range(1000))


def seeds(trials: tuple[Trial, ...] = TRIALS, run: int = 0, **setting: int) -> list[int]:
    return Setting(CPU, seed=run, **setting).seeds_for(trials)


def test_runs_of_neighbouring_seeds_share_no_trial_seed():
    runs = [seeds(run=run) for run in range(3)]
    assert len({seed for run in runs for seed in run}) == 3 * len(TRIALS)
    # On CPUs torch takes the lower half of a seed alone.
    zero, one, _ = ({seed % 2**32 for seed in run} for run in runs)
    assert len(zero) == len(one) == len(TRIALS)
    assert zero.isdisjoint(one)


def test_neighbouring_runs_give_one_trial_unrelated_noise():
    noise = [
        torch.randn(4096, generator=torch.Generator().manual_seed(seed))
        for run in range(3)
        for seed in seeds(TRIALS[:3], run)
    ]
    correlations = torch.corrcoef(torch.stack(noise)) - torch.eye(9)
    assert correlations.abs().max() < 6 / 4096**0.5  # six standard errors


def test_a_trials_seed_depends_on_neither_batch_size_nor_order_nor_limit():
    whole = seeds()
    for size in (1, 3, 16, 1000):
        batches = [TRIALS[i : i + size] for i in range(0, len(TRIALS), size)]
        assert [s for b in batches for s in seeds(b, batch_size=size)] == whole
    assert seeds(TRIALS[::-1]) == whole[::-1]
    assert seeds(TRIALS[:7], limit=7) == whole[:7]
    batch = Batch(TRIALS[:8], torch.zeros(8, 1, 3, 2, 2), 0)
    assert seeds(batch[4:6].trials) == whole[4:6]


def test_seeds_are_the_first_60_bits_of_a_hash_that_other_languages_can_compute():
    for run, trial in ((0, "video0@0"), (12, "video7@1")):
        text = f'[{run},"{trial}"]'.encode()
        expected = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 4
        assert seeds((Trial(trial, "", ()),), run) == [expected]


def several(*counts: int) -> Batch:
    """Trials of so many clips each, numbered through."""
    trials = tuple(Trial(f"t{i}", "c", ("clip",) * n) for i, n in enumerate(counts))
    clips = torch.arange(sum(counts)).float()[:, None, None, None, None].expand(-1, 2, 3, 1, 1)
    return Batch(trials, clips, 10)


def numbers(clips: torch.Tensor) -> list[int]:
    return clips[:, 0, 0, 0, 0].int().tolist()


def test_a_part_of_a_batch_takes_all_clips_of_its_trials_along():
    batch = several(2, 1, 3, 2)
    assert [numbers(batch.of(i)) for i in range(4)] == [[0, 1], [2], [3, 4, 5], [6, 7]]
    for first in range(5):
        for last in range(first, 5):
            part = batch[first:last]
            assert part.trials == batch.trials[first:last]
            expected = [n for i in range(first, last) for n in numbers(batch.of(i))]
            assert numbers(part.clips) == expected
            assert part.ordinal == 10 + first


def test_parts_of_parts_are_parts():
    batch = several(2, 2, 1, 2, 3)
    part = batch[1:][1:3]
    assert [trial.id for trial in part.trials] == ["t2", "t3"]
    assert numbers(part.clips) == [4, 5, 6]
    assert part.ordinal == 12
    assert numbers(batch[-2:].clips) == [5, 6, 7, 8, 9]
    assert batch[-2:].ordinal == 13


def test_halves_of_a_batch_make_the_whole():
    batch = several(4, 4, 4)
    halves = batch[:1], batch[1:]
    assert torch.equal(torch.cat([half.clips for half in halves]), batch.clips)
    assert halves[0].trials + halves[1].trials == batch.trials


def test_seeds_suit_every_torch_generator():
    assert all(0 <= seed < 2**60 for seed in seeds())
    assert max(seeds()) > 2**59


class Telling:
    """A suite without trials, whose protocol and scales are given."""

    name, version, samples = "telling", "1", 1
    accepts = ("encodes",)
    metric_versions: ClassVar[dict[str, str]] = {}

    def __init__(self, protocol: dict[str, Any], **told: Any) -> None:
        self._protocol = protocol
        self.__dict__.update(told)

    def trials(self, data: Any) -> list[Trial]:
        return []

    def protocol(self, data: Any) -> dict[str, Any]:
        return self._protocol

    def unsupported(self, card: Any) -> str | None:
        return None

    def scorer(self, data: Any, setting: Setting) -> Any:
        raise NotImplementedError


def question(suite: Telling) -> Question:
    return Question.of(suite, WorldData("worlds", workers=1), Setting(CPU, limit=3))


def test_scales_become_part_of_the_protocol():
    suite = Telling({"context": 4}, scales={"accuracy": Scale(floor=0.5, ceiling=1.0)})
    info = question(suite).info
    assert info.scales == suite.scales  # type: ignore[attr-defined]
    assert info.protocol["context"] == 4
    assert info.protocol["limit"] == 3
    assert "scales" not in question(Telling({})).info.protocol


@pytest.mark.parametrize("name", ["precision", "seed", "limit", "scales"])
def test_a_protocol_does_not_hide_what_the_run_was_asked(name: str):
    with pytest.raises(ContractError, match="names that are the run's") as caught:
        question(Telling({name: 1}))
    assert caught.value.seen == name


@pytest.mark.parametrize("scales", [(1, 2), None, {"accuracy": 0.5}, {1: Scale()}])
def test_scales_that_are_none_are_refused(scales: Any):
    with pytest.raises(ContractError, match="its scales cannot be read"):
        question(Telling({}, scales=scales))
