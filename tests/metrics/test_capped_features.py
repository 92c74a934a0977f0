"""Moments in blocks against the same sets kept row by row."""

import math
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from worldbench.errors import DataError, UsageError
from worldbench.metrics import (
    FrechetVideoDistance,
    frechet_distance,
    frechet_influence,
    frechet_report,
)
from worldbench.metrics.block_frechet import TwoBlockSets
from worldbench.metrics.blocks import BLOCKS, BlockMoments

CLIPS, WIDTH = 400, 5


def draw(seed: int, n: int = CLIPS, far: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(9)).double()
    rows = torch.randn(n, WIDTH, generator=generator, dtype=torch.float64)
    return (1 + 0.2 * (seed % 2)) * rows @ mixing + 0.3 * (seed % 2) + far


def fed(
    order: Tensor | None = None, *, batch: int = 30, rows: int = 50, far: float = 0.0, ddof: int = 1
) -> FrechetVideoDistance:
    """A metric that has long outgrown its cap."""
    metric = FrechetVideoDistance(rows=rows, ddof=ddof)
    for real, seed in ((True, 1), (False, 2)):
        features = draw(seed, far=far)
        for part in (torch.arange(CLIPS) if order is None else order).split(batch):
            ids = [f"clip{int(i)}" for i in part]
            metric.update(features[part], real=real, ids=ids)
    return metric


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("far", [0.0, 5000.0])
def test_the_value_is_that_of_all_rows_also_far_from_zero(far: float, ddof: int) -> None:
    expected = frechet_distance(draw(2, far=far), draw(1, far=far), ddof=ddof)
    found = fed(far=far, ddof=ddof).compute()
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_below_the_cap_nothing_changes_a_single_bit() -> None:
    whole = fed(rows=CLIPS)
    expected = frechet_report(draw(2), draw(1))
    assert whole.report().value == pytest.approx(expected.value, rel=1e-12)
    assert whole.report().clusters == CLIPS
    assert fed(rows=CLIPS - 1).report().clusters == BLOCKS


def test_order_batches_and_merges_change_nothing() -> None:
    single = fed()
    order = torch.randperm(CLIPS, generator=torch.Generator().manual_seed(3))
    other = fed(order, batch=7, rows=11)
    merged = FrechetVideoDistance(rows=50)
    halves = [FrechetVideoDistance(rows=50) for _ in range(2)]
    few = FrechetVideoDistance(rows=50)
    for real, seed in ((True, 1), (False, 2)):
        for i, metric in ((0, halves[0]), (1, halves[1]), (2, few)):
            part = torch.arange(CLIPS)[(0, 190, 380)[i] : (190, 380, 400)[i]]
            metric.update(draw(seed)[part], real=real, ids=[f"clip{int(k)}" for k in part])
    for metric in (halves[1], few, halves[0]):
        merged.merge_state(metric)
    expected = single.report()
    for found in (other.report(), merged.report()):
        assert (found.n, found.m, found.rank) == (expected.n, expected.m, expected.rank)
        for name in ("value", "infinity", "standard_error", "low", "high", "noise_floor"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)


@pytest.mark.parametrize("asked", ["compute", "report"])
@pytest.mark.parametrize("rows", [50, 1000])
def test_metrics_that_have_answered_merge_as_others_do(asked: str, rows: int) -> None:
    halves = [FrechetVideoDistance(rows=rows) for _ in range(2)]
    for real, seed in ((True, 1), (False, 2)):
        for metric, part in zip(halves, torch.arange(128).split(64), strict=True):
            metric.update(draw(seed)[part], real=real, ids=[f"clip{int(i)}" for i in part])
    first, second = halves
    for metric in halves:
        getattr(metric, asked)()
    first.merge_state(second)
    expected = frechet_distance(draw(2)[:128], draw(1)[:128])
    assert float(first.compute()) == pytest.approx(expected, rel=1e-9)
    first.update(draw(1)[128:], real=True, ids=[f"clip{i}" for i in range(128, CLIPS)])
    expected = frechet_distance(draw(2)[:128], draw(1))
    assert float(first.compute()) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rows", [0, 1, -4])
def test_a_cap_below_two_is_refused(rows: int) -> None:
    with pytest.raises(UsageError, match="rows is not a usable number"):
        FrechetVideoDistance(rows=rows)


def test_one_clip_that_comes_more_often_than_the_cap_is_one_clip() -> None:
    metric = FrechetVideoDistance(rows=2)
    for _ in range(3):
        metric.update(draw(1)[:1], real=True, ids=["clip0"])
    metric.update(draw(2)[:20], real=False)
    with pytest.raises(DataError, match="the real set is too small"):
        metric.compute()
    metric.update(draw(1)[1:9], real=True, ids=[f"clip{i}" for i in range(1, 9)])
    expected = frechet_distance(draw(2)[:20], draw(1)[:9])
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-9)


def test_the_report_agrees_with_that_of_rows_within_its_error() -> None:
    ids = [f"clip{i}" for i in range(CLIPS)]
    rows, blocks = frechet_report(draw(2), draw(1), ids, ids), fed().report()
    assert rows.infinity is not None
    assert rows.standard_error is not None
    assert blocks.infinity is not None
    assert blocks.standard_error is not None
    assert blocks.low is not None
    assert blocks.high is not None
    assert abs(blocks.infinity - rows.infinity) < 0.5 * rows.standard_error
    assert 0.6 < blocks.standard_error / rows.standard_error < 1.6
    assert blocks.low < rows.infinity < blocks.high
    assert blocks.noise_floor == pytest.approx(rows.noise_floor, rel=0.5)
    assert (blocks.n, blocks.m, blocks.dim, blocks.rank) == (CLIPS, CLIPS, WIDTH, WIDTH)


def test_influence_by_block_is_the_sum_of_that_of_its_rows() -> None:
    x, y = draw(2), draw(1, 300)
    label_x, label_y = torch.arange(CLIPS) * 7 + 1, torch.arange(300) * 7 + 1
    sets = TwoBlockSets(BlockMoments.of(x, label_x), BlockMoments.of(y, label_y))
    found = sets.influence()
    for psi, labels, sums in zip(frechet_influence(x, y), (label_x, label_y), found, strict=True):
        place = (labels >> 1) % BLOCKS
        expected = torch.zeros(BLOCKS, dtype=torch.float64).index_add_(0, place, psi)
        torch.testing.assert_close(sums, expected, atol=1e-8, rtol=1e-9)


def test_memory_is_bounded() -> None:
    metric, kept = FrechetVideoDistance(rows=40), []
    for step in range(30):
        metric.update(draw(step, 25), real=True, ids=[f"{step}/{i}" for i in range(25)])
        features = sum(each.numel() for each in metric.real_features)
        moments = sum(each.numel() for each in metric.real_moments)
        kept.append((features, moments))
    assert max(features for features, _ in kept) <= 40 * WIDTH
    assert {moments for _, moments in kept} == {0, BLOCKS * (1 + WIDTH + WIDTH**2)}


def test_a_pickled_or_halved_metric_goes_on_where_it_stopped() -> None:
    metric = fed()
    expected = float(metric.compute())
    copied = pickle.loads(pickle.dumps(metric))
    assert float(copied.compute()) == expected
    halved = fed().half()
    assert halved.real_moments[0].dtype == torch.float64
    assert float(halved.compute()) == expected
    for each in (metric, copied):
        each.update(draw(5, 60), real=False, ids=[f"more{i}" for i in range(60)])
    assert float(metric.compute()) == float(copied.compute()) != expected
    metric.reset()
    assert metric.real_moments == []


def test_a_clip_that_comes_again_counts_once() -> None:
    metric = fed()
    expected = metric.report()
    metric.update(draw(2)[:60], real=False, ids=[f"clip{i}" for i in range(60)])
    found = metric.report()
    assert found.n == expected.n
    assert found.value == pytest.approx(expected.value, rel=1e-12)


def test_equal_rows_without_ids_all_count() -> None:
    metric = FrechetVideoDistance(rows=10)
    for _ in range(3):
        metric.update(draw(1, 40), real=True)
        metric.update(draw(2, 40), real=False)
    report = metric.report()
    assert (report.n, report.m) == (120, 120)
    expected = frechet_distance(draw(2, 40), draw(1, 40), ddof=0)
    assert report.value == pytest.approx(expected, rel=0.1)


def test_clips_summed_up_twice_are_told() -> None:
    one, other = fed(), fed()
    with pytest.raises(DataError, match="in the moments of several") as caught:
        one.merge_state(other)
    assert "raise rows above 50" in str(caught.value)
    assert "clip" in str(caught.value.seen)


def test_what_is_undefined_says_why() -> None:
    metric = FrechetVideoDistance(rows=4)
    metric.update(draw(1, 12), real=True)
    with pytest.raises(DataError, match="the rollout set is too small"):
        metric.compute()
    metric.update(draw(2, 12), real=False)
    assert "fewer than 4·D = 20 samples" in str(metric.report().reason)
    flat = FrechetVideoDistance(rows=4)
    for real in (True, False):
        rows = draw(int(real), CLIPS)
        rows[:, 0] = 1
        flat.update(rows, real=real)
    report = flat.report()
    assert report.rank == WIDTH - 1
    assert "rank 4 < D = 5" in str(report.reason)
    assert report.standard_error is None
    assert math.isfinite(report.value)
    scenes = FrechetVideoDistance(rows=4)
    for real in (True, False):
        scenes.update(draw(int(real)), real=real, clusters=[i % 3 for i in range(CLIPS)])
    assert "blocks of clusters in a set, 8 needed" in str(scenes.report().reason)


def test_other_widths_are_refused_above_the_cap_too() -> None:
    metric = fed()
    metric.update(torch.randn(9, 3), real=True)
    with pytest.raises(DataError, match="features of different widths"):
        metric.compute()
    metric = FrechetVideoDistance(rows=4)
    metric.update(draw(1, 20), real=True)
    metric.update(torch.randn(20, 3), real=False)
    with pytest.raises(DataError, match="features of different width"):
        metric.compute()


def _one_process(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    metric = FrechetVideoDistance(rows=50)
    some = torch.arange(CLIPS)[: CLIPS - 30] if rank == 0 else torch.arange(CLIPS)[CLIPS - 30 :]
    for real, seed in ((True, 1), (False, 2)):
        metric.update(draw(seed)[some], real=real, ids=[f"clip{int(i)}" for i in some])
    value, report = float(metric.compute()), metric.report()
    Path(folder, f"{rank}.txt").write_text(f"{value} {report.n} {report.infinity}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_of_which_one_keeps_its_rows_agree_with_a_single_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_one_process, args=(str(tmp_path),), nprocs=2)
    expected = fed().report()
    for rank in range(2):
        value, n, infinity = Path(tmp_path, f"{rank}.txt").read_text().split()
        assert float(value) == pytest.approx(expected.value, rel=1e-9)
        assert int(n) == CLIPS
        assert float(infinity) == pytest.approx(expected.infinity, rel=1e-9)
