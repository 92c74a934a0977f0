import hashlib

import torch

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


def test_seeds_suit_every_torch_generator():
    assert all(0 <= seed < 2**60 for seed in seeds())
    assert max(seeds()) > 2**59
