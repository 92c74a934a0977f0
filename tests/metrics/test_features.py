import copy
import math
import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchmetrics import MetricCollection

from worldbench.errors import DataError, UsageError
from worldbench.metrics import (
    ExtractorCard,
    FeatureMetric,
    FrechetVideoDistance,
    JEPAEmbeddingDistance,
    KernelVideoDistance,
    frechet_distance,
    frechet_report,
    jedi_distance,
    kernel_distance,
    require_same_card,
)

KINDS = pytest.mark.parametrize(
    "kind", [FrechetVideoDistance, KernelVideoDistance, JEPAEmbeddingDistance]
)
CARD = ExtractorCard("net", "a" * 64, 4, "as is")


def draw(seed: int, n: int = 48, d: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator) + (seed % 2)


def names(n: int) -> list[str]:
    return [f"clip{row}" for row in range(n)]


def filled(kind: Callable[..., FeatureMetric], **options: object) -> FeatureMetric:
    metric = kind(**options)
    metric.update(draw(1), real=True, ids=names(48))
    metric.update(draw(2), real=False, ids=names(48))
    return metric


@pytest.mark.parametrize(
    ("kind", "distance"),
    [
        (FrechetVideoDistance, frechet_distance),
        (KernelVideoDistance, kernel_distance),
        (JEPAEmbeddingDistance, jedi_distance),
    ],
)
def test_value_is_the_function_of_the_two_sets(
    kind: type[FeatureMetric], distance: Callable[[Tensor, Tensor], float]
) -> None:
    value = filled(kind).compute()
    assert value.shape == ()
    assert value.dtype == torch.float64
    assert float(value) == pytest.approx(distance(draw(2), draw(1)), rel=1e-12)
    assert kind.higher_is_better is False


@KINDS
@pytest.mark.parametrize("named", [True, False])
def test_order_and_batches_do_not_move_a_single_bit(kind: type[FeatureMetric], named: bool) -> None:
    results = []
    for seed, sizes in ((0, [48]), (1, [10, 30, 8]), (2, [1] * 48)):
        metric, order = kind(), torch.randperm(48, generator=torch.Generator().manual_seed(seed))
        ends = [0, *torch.tensor(sizes).cumsum(0).tolist()]
        for start, end in pairwise(ends):
            rows = order[start:end]
            ids = [f"clip{row}" for row in rows.tolist()] if named else None
            for real, features in ((False, draw(2)), (True, draw(1))):
                metric.update(features[rows], real=real, ids=ids)
        results.append((float(metric.compute()), metric.report()))
    assert results[0] == results[1] == results[2]


@KINDS
def test_merged_metrics_equal_one_metric_that_saw_everything(kind: type[FeatureMetric]) -> None:
    left, right = kind(card=CARD), kind(card=CARD)
    left.update(draw(1), real=True, ids=names(48))
    left.update(draw(2)[:20], real=False, ids=names(48)[:20])
    right.update(draw(2)[15:], real=False, ids=names(48)[15:])  # five clips came to both
    left.merge_state(right)
    assert float(left.compute()) == float(filled(kind).compute())
    fresh = kind(card=CARD)
    fresh.merge_state(left)
    assert float(fresh.compute()) == float(left.compute())


@KINDS
def test_a_pickled_copy_goes_on_where_the_original_stopped(kind: type[FeatureMetric]) -> None:
    metric = filled(kind)
    twin = pickle.loads(pickle.dumps(metric))
    extra = draw(3, 5)
    for each in (metric, twin, copy.deepcopy(twin)):
        each.update(extra, real=False, ids=[f"late{row}" for row in range(5)])
    assert float(metric.compute()) == float(twin.compute()) != float(filled(kind).compute())


@KINDS
def test_half_precision_of_the_surrounding_model_changes_nothing(kind: type[FeatureMetric]) -> None:
    metric, weights = filled(kind), torch.nn.Linear(4, 4)
    metric.extractor = weights
    model = torch.nn.ModuleDict({"metric": metric, "net": torch.nn.Linear(2, 2)})
    model.half().float().to(torch.bfloat16)
    metric.set_dtype(torch.float16)
    metric.half()
    assert model["net"].weight.dtype == torch.bfloat16
    assert weights.weight.dtype == torch.float32
    assert {state.dtype for state in metric.rollout_features + metric.real_features} == {
        torch.float64
    }
    assert float(metric.compute()) == float(filled(kind).compute())


@KINDS
def test_reset_forgets_and_forward_adds(kind: type[FeatureMetric]) -> None:
    metric = filled(kind)
    metric.reset()
    assert metric(draw(2), real=False, ids=names(48)) is None
    metric(draw(1), real=True, ids=names(48))
    assert float(metric.compute()) == float(filled(kind).compute())


def test_a_collection_of_both_distances_shares_its_updates() -> None:
    both = MetricCollection([FrechetVideoDistance(), KernelVideoDistance()])
    both.update(draw(1), real=True)
    both.update(draw(2), real=False)
    values = both.compute()
    assert float(values["FrechetVideoDistance"]) == pytest.approx(
        frechet_distance(draw(2), draw(1)), rel=1e-12
    )
    assert float(values["KernelVideoDistance"]) == pytest.approx(
        kernel_distance(draw(2), draw(1)), rel=1e-12
    )


def test_videos_go_through_the_extractor() -> None:
    def colours(video: Tensor) -> Tensor:
        return video.mean(dim=(1, 3, 4))

    generator = torch.Generator().manual_seed(0)
    videos = [torch.rand(9, 2, 3, 4, 4, generator=generator) for _ in range(2)]
    metric = FrechetVideoDistance(colours)
    metric.update(videos[0], real=True)
    metric.update(videos[1], real=False)
    expected = frechet_distance(colours(videos[1]), colours(videos[0]))
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(UsageError, match="has no extractor"):
        FrechetVideoDistance().update(videos[0], real=True)


def test_report_knows_clusters_and_card() -> None:
    scenes = [row // 3 for row in range(48)]
    metric = FrechetVideoDistance(card=CARD, seed=5)
    metric.update(draw(1), real=True, clusters=scenes)
    metric.update(draw(2), real=False, clusters=scenes)
    report = metric.report()
    assert (report.clusters, report.card, report.n) == (16, "net", 48)
    direct = frechet_report(draw(2), draw(1), scenes, scenes)
    assert report.standard_error == pytest.approx(direct.standard_error, rel=0.5)
    assert report.value == float(metric.compute())
    assert KernelVideoDistance(card=CARD).card == CARD


def test_equal_ids_pair_rollouts_with_real_clips_and_rows_without_ids_stand_alone() -> None:
    shared = draw(1)
    paired, apart = KernelVideoDistance(), KernelVideoDistance()
    for real in (True, False):
        paired.update(shared, real=real, ids=names(48))
        apart.update(shared, real=real)
    # A perfect copy: as pairs the difference is exactly nought, as independent sets it is not.
    assert paired.report().between_clusters == pytest.approx(0, abs=1e-12)
    assert apart.report().between_clusters < -1e-3
    assert apart.report().clusters == 48


def test_equal_rows_without_ids_all_count() -> None:
    metric = FrechetVideoDistance()
    metric.update(torch.ones(6, 4), real=False)
    metric.update(draw(1), real=True)
    assert metric.report().n == 6


def test_a_clip_given_twice_counts_once_unless_it_changed() -> None:
    metric = filled(FrechetVideoDistance)
    metric.update(draw(2)[:7] * (1 + 1e-6), real=False, ids=names(7))
    assert metric.report().n == 48
    assert float(metric.compute()) == pytest.approx(
        float(filled(FrechetVideoDistance).compute()), rel=1e-5
    )
    metric.update(draw(2)[:1] + 1, real=False, ids=["clip0"])
    with pytest.raises(DataError, match=r"twice with different features\n.*clip0"):
        metric.compute()


def test_a_clip_in_two_clusters_is_refused() -> None:
    metric = filled(FrechetVideoDistance)
    metric.update(draw(2)[:1], real=False, ids=["clip0"], clusters=["elsewhere"])
    with pytest.raises(DataError, match="different clusters"):
        metric.compute()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_not_finite_name_their_set_and_clip(value: float) -> None:
    features = draw(1)
    features[5, 2] = value
    with pytest.raises(DataError, match=r"real set .*\n.*clip5"):
        FrechetVideoDistance().update(features, real=True, ids=names(48))


def test_too_few_clips_name_the_set() -> None:
    metric = FrechetVideoDistance()
    metric.update(draw(1), real=True)
    with pytest.raises(DataError, match="rollout set is too small"):
        metric.compute()
    metric.update(draw(2)[:1], real=False)
    with pytest.raises(DataError, match=r"1 clip\(s\)"):
        metric.compute()


def test_wrong_lengths_and_widths_are_refused() -> None:
    metric = FrechetVideoDistance(card=CARD)
    with pytest.raises(UsageError, match="ids must have one entry per clip"):
        metric.update(draw(1), real=True, ids=["one"])
    with pytest.raises(UsageError, match="clusters must have one entry per clip"):
        metric.update(draw(1), real=True, clusters=["one"])
    with pytest.raises(DataError, match=r"\[b, 4\]"):
        metric.update(draw(1, d=5), real=True)
    free = FrechetVideoDistance()
    free.update(draw(1), real=True)
    free.update(draw(1, d=5), real=True)
    free.update(draw(2), real=False)
    with pytest.raises(DataError, match="different widths"):
        free.compute()


def test_cards_tell_extractors_apart_and_different_ones_never_merge() -> None:
    other = ExtractorCard("net", "b" * 64, 4, "as is")
    renamed_source = ExtractorCard("net", "a" * 64, 4, "as is", source="a mirror", licence="MIT")
    require_same_card(CARD, renamed_source)
    require_same_card(None, None)
    for pair in ((CARD, other), (CARD, None), (None, CARD)):
        with pytest.raises(UsageError, match="do not compare"):
            require_same_card(*pair)
    with pytest.raises(UsageError, match="do not compare"):
        filled(FrechetVideoDistance, card=CARD).merge_state(
            filled(FrechetVideoDistance, card=other)
        )
    with pytest.raises(UsageError, match="positive dim"):
        ExtractorCard("net", "a", 0, "as is")
    projected = ExtractorCard("net", "a", 64, "as is", projection="pca64 fitted on train")
    assert projected.label == "net-pca64"


def _one_process(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=3
    )
    metric = FrechetVideoDistance()
    clips = names(48)
    if rank == 0:
        metric.update(draw(1), real=True, ids=clips)
        metric.update(draw(2)[:20], real=False, ids=clips[:20])
    elif rank == 1:  # the third process sees no clip at all
        metric.update(draw(2)[18:], real=False, ids=clips[18:])
    if rank < 2:
        value = float(metric.compute())
    else:
        with pytest.warns(UserWarning, match="before the ``update``"):
            value = float(metric.compute())
    report = metric.report()
    Path(folder, f"{rank}.txt").write_text(f"{value!r} {report.n} {report.infinity!r}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_agree_with_a_single_one_even_if_one_has_no_clips(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_one_process, args=(str(tmp_path),), nprocs=3)
    single = filled(FrechetVideoDistance)
    expected = f"{float(single.compute())!r} 48 {single.report().infinity!r}"
    assert [Path(tmp_path, f"{rank}.txt").read_text() for rank in range(3)] == [expected] * 3
