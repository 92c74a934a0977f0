"""Eight small videos give 32 clips; features are projected on four components to suit them."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from worldbench.adapter import Adapter
from worldbench.adapters.linear_flow import LinearFlow
from worldbench.adapters.real_future import RealFuture
from worldbench.adapters.still import ContextMean, CopyLast
from worldbench.batches import clip_batches
from worldbench.data.real import VideoData
from worldbench.data.source import Clip
from worldbench.data.worlds.plans import MixturePlan
from worldbench.data.worlds.sets import SETS
from worldbench.errors import ContractError, DataError, UsageError
from worldbench.metrics.frame import PSNR_CEILING, frame_psnr
from worldbench.schema import AdapterCard, MetricResult
from worldbench.suite import Batch, Scorer, Setting, Suite, Summary
from worldbench.suites.video_distance import VideoDistance, halves
from worldbench.suites.video_distance_features import extractor_card, training_source

CPU = torch.device("cpu")
SETTING = Setting(CPU, batch_size=6)
SUITE = VideoDistance(context=2, horizon=6, components=4)
FORMAT = {"frames": 8, "fps": 15.0, "size": (64, 64)}


class Says:
    """An adapter that answers with whatever a function makes of the context."""

    def __init__(self, answer: Callable[[Tensor, int], Tensor], **card: object) -> None:
        self.answer = answer
        fields = {"name": "says", "revision": "1", "family": "generative"}
        self.card = AdapterCard(**{**fields, "capabilities": ("generates",), **card})

    def generate(
        self,
        context: Tensor,
        horizon: int,
        *,
        samples: int,
        seeds: Sequence[int],
        actions: Tensor | None = None,
        prompt: Sequence[str] | None = None,
    ) -> Tensor:
        return self.answer(context, horizon)[:, None].expand(-1, samples, -1, -1, -1, -1)


class ShuffledFuture(RealFuture):
    """The true frames in another order: right pictures, wrong motion."""

    def replay(self, trials, future, *, fps, samples):  # type: ignore[no-untyped-def]
        order = [3, 0, 5, 1, 4, 2]
        return super().replay(trials, future[:, order], fps=fps, samples=samples)


def grey(context: Tensor, horizon: int) -> Tensor:
    return torch.full_like(context[:, :1], 0.5).expand(-1, horizon, -1, -1, -1)


@pytest.fixture(scope="module")
def data(small_data: Path, small_train: Path) -> VideoData:
    return VideoData("small", str(small_data), train={"root": str(small_train)}, **FORMAT)


@pytest.fixture(scope="module")
def scorer(data: VideoData) -> Scorer:
    return SUITE.scorer(data, SETTING)


def batches(data: VideoData, suite: VideoDistance = SUITE, limit: int | None = None) -> list[Batch]:
    trials, size = suite.trials(data)[:limit], SETTING.batch_size
    groups = [trials[i : i + size] for i in range(0, len(trials), size)]
    clips = clip_batches(data, [[t.clips[0] for t in group] for group in groups], device=CPU)
    return [
        Batch(tuple(group), video, size * i)
        for i, (group, video) in enumerate(zip(groups, clips, strict=True))
    ]


def measure(data: VideoData, scorer: Scorer, adapter: Adapter) -> Summary:
    return scorer.summarise([row for b in batches(data) for row in scorer.score(adapter, b)])


@pytest.fixture(scope="module")
def summaries(data: VideoData, scorer: Scorer) -> dict[str, Summary]:
    adapters: dict[str, Adapter] = {
        "real_future": RealFuture(),
        "copy_last": CopyLast(),
        "context_mean": ContextMean(),
        "linear_flow": LinearFlow(),
        "shuffled": ShuffledFuture("shuffled"),
        "grey": Says(grey),
    }
    return {name: measure(data, scorer, adapter) for name, adapter in adapters.items()}


def metric(summary: Summary, name: str, **factors: str) -> MetricResult:
    (found,) = [
        m
        for m in summary.metrics
        if m.name == name and m.factors.get("frame") == factors.get("frame")
    ]
    return found


def value(summary: Summary, name: str, **factors: str) -> float:
    found = metric(summary, name, **factors).value
    assert found is not None
    return found


def clips_of(*counts: int) -> list[Clip]:
    return [
        Clip(f"v{i}@{k}", f"v{i}", f"v{i}", "", float(k))
        for i, count in enumerate(counts)
        for k in range(count)
    ]


@pytest.mark.parametrize("counts", [(4, 4, 4), (1,) * 20, (3, 1, 5, 2, 7), (2,) * 9, (1,) * 5])
def test_halves_are_disjoint_and_equal_and_leave_out_one_clip_at_most(counts):
    clips = clips_of(*counts)
    rollouts, reference = halves(clips)
    assert len(rollouts) == len(reference) == len(clips) // 2
    assert not {c.id for c in rollouts} & {c.id for c in reference}
    assert {c.id for c in rollouts} | {c.id for c in reference} <= {c.id for c in clips}


def test_each_video_stands_in_both_halves_alike():
    rollouts, reference = halves(clips_of(4, 4, 3, 2, 7, 1, 5))
    one, other = (Counter(c.video for c in half) for half in (rollouts, reference))
    assert all(abs(one[video] - other[video]) <= 1 for video in one | other)


def test_beginnings_and_ends_of_videos_stand_in_both_halves():
    rollouts, reference = halves(clips_of(*(2,) * 200))
    for half in (rollouts, reference):
        assert 70 < sum(clip.start == 0 for clip in half) < 130


def test_halves_depend_on_ids_alone():
    clips = clips_of(4, 3, 1, 6, 2)
    assert halves(clips) == halves(list(reversed(clips))) == halves(clips)


def test_one_clip_cannot_be_halved():
    with pytest.raises(DataError, match="too few clips") as caught:
        halves(clips_of(1))
    assert "at least 4" in str(caught.value)


def test_trials_are_the_rollout_half_of_the_data(data):
    assert isinstance(SUITE, Suite)
    trials = SUITE.trials(data)
    rollouts, reference = halves(data.clips())
    assert [t.id for t in trials] == [c.id for c in rollouts]
    assert len(trials) == len(reference) == 16
    assert all(t.clips == (t.id,) and t.id.startswith(f"{t.cluster}@") for t in trials)


def test_the_real_future_is_the_best_there_is(summaries):
    real = summaries["real_future"]
    assert value(real, "psnr") == pytest.approx(PSNR_CEILING)
    assert value(real, "psnr", frame="last") == pytest.approx(PSNR_CEILING)
    assert value(real, "ssim") == pytest.approx(1, abs=1e-6)
    for name, summary in summaries.items():
        if name != "real_future":
            assert value(summary, "psnr") < PSNR_CEILING - 10, name
            assert value(summary, "ssim") < 0.999, name
            # Between eight videos the kernel distance does not tell shuffled frames from true ones.
            distances = ("frechet", "frechet_inf", "kernel")[: 2 if name == "shuffled" else 3]
            for distance in distances:
                assert value(summary, distance) > value(real, distance), (name, distance)


@pytest.mark.parametrize("trivial", ["copy_last", "context_mean", "grey"])
def test_trivial_answers_lie_well_behind_the_real_future(summaries, trivial):
    real, other = summaries["real_future"], summaries[trivial]
    assert value(other, "frechet") > 2 * value(real, "frechet")


def test_a_constant_picture_is_the_worst_answer(summaries):
    for distance in ("frechet", "frechet_inf", "kernel"):
        ranked = sorted(summaries, key=lambda name: value(summaries[name], distance))
        assert ranked[-1] == "grey"


def test_frame_metrics_are_means_over_trials_of_means_over_frames(data, summaries):
    parts = [
        frame_psnr(b.clips[:, 1:2].expand(-1, 6, -1, -1, -1), b.clips[:, 2:8])
        for b in batches(data)
    ]
    psnr = torch.cat(parts)
    copy = summaries["copy_last"]
    assert value(copy, "psnr") == pytest.approx(float(psnr.mean()), abs=1e-4)
    assert value(copy, "psnr", frame="first") == pytest.approx(float(psnr[:, 0].mean()), abs=1e-4)
    assert value(copy, "psnr", frame="last") == pytest.approx(float(psnr[:, -1].mean()), abs=1e-4)
    assert value(copy, "psnr", frame="first") > value(copy, "psnr", frame="last")


def test_foreseeing_motion_pays_in_every_frame_metric(summaries):
    for name in ("psnr", "ssim"):
        assert value(summaries["linear_flow"], name) > value(summaries["copy_last"], name)


def test_metrics_say_in_which_direction_with_what_and_from_how_many(summaries):
    for m in summaries["copy_last"].metrics:
        assert m.status == "ok"
        assert m.n == 16
        assert m.clusters == 8
        assert m.higher_is_better == (m.name in ("psnr", "ssim"))
        assert ("extractor" in m.factors) == (m.name in ("frechet", "frechet_inf", "kernel"))
        if m.name != "frechet":  # its bias depends on n: no interval can be put around it
            assert m.value is not None
            assert m.low is not None
            assert m.high is not None
            assert m.low <= m.value <= m.high, m.name
    assert metric(summaries["grey"], "frechet").label == "frechet[effnetlite0-dt-pca4]"
    assert summaries["grey"].metrics[0].name == "frechet_inf"
    assert summaries["grey"].metrics[0].headline


def test_rows_are_kept_with_influence_values_of_mean_zero(summaries):
    rows = summaries["copy_last"].rows
    assert [row["role"] for row in rows] == ["rollout"] * 16 + ["reference"] * 16
    assert len({row["trial"] for row in rows}) == 32
    for name in ("frechet_inf", "kernel"):
        psi = torch.tensor([row[f"{name}.influence"] for row in rows], dtype=torch.float64)
        assert psi.abs().max() > 0
        assert abs(float(psi.mean())) < 1e-9 * float(psi.abs().max())
    assert all("psnr" in row and "features" not in row for row in rows[:16])


def test_batches_and_order_do_not_change_the_summary(data, scorer, summaries):
    rows = []
    for batch in batches(data):
        for i in range(len(batch.trials)):
            rows += scorer.score(CopyLast(), batch[i : i + 1])
    alone = scorer.summarise(rows)
    for a, b in zip(alone.metrics, summaries["copy_last"].metrics, strict=True):
        assert (a.name, a.factors) == (b.name, b.factors)
        assert a.value == pytest.approx(b.value, rel=1e-4)


def test_samples_are_scored_one_by_one_and_pooled(data, scorer):
    suite = VideoDistance(context=2, horizon=6, components=4, samples=2)
    both = suite.scorer(data, SETTING)
    rows = [row for b in batches(data, suite) for row in both.score(CopyLast(), b)]
    assert Counter(row["sample"] for row in rows) == {0: 16, 1: 16}
    summary = both.summarise(rows)
    single = measure(data, scorer, CopyLast())
    assert metric(summary, "psnr").n == 32
    assert value(summary, "psnr") == pytest.approx(value(single, "psnr"))


def test_the_adapter_is_given_the_context_and_seeds_that_batching_cannot_move(data, scorer):
    seen: list[tuple[list[int], tuple[int, ...]]] = []

    class Listens(CopyLast):
        def generate(self, context, horizon, *, samples, seeds, actions=None, prompt=None):  # type: ignore[no-untyped-def]
            seen.append((seeds, tuple(context.shape)))
            return super().generate(context, horizon, samples=samples, seeds=seeds)

    batch = batches(data)[1]
    scorer.score(Listens(), batch)
    scorer.score(Listens(), batch[2:4])
    seeds = SETTING.seeds_for(batch.trials)
    assert seen == [(seeds, (6, 2, 3, 64, 64)), (seeds[2:4], (2, 2, 3, 64, 64))]


def nan(context: Tensor, horizon: int) -> Tensor:
    rollout = grey(context, horizon).clone()
    rollout[0, 0, 0, 0, 0] = float("nan")
    return rollout


def longer(context: Tensor, horizon: int) -> Tensor:
    return torch.cat([context, grey(context, horizon)], dim=1)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (nan, "values that are not finite"),
        (longer, "wrong number of frames: 8 instead of 6"),
        (lambda c, h: grey(c, h) * 255, "values outside the range"),
        (lambda c, h: grey(c, h) - 1, "values outside the range"),
        (lambda c, h: grey(c, h)[..., :32], "wrong shape"),
        (lambda c, h: grey(c, h).double(), "wrong dtype"),
    ],
)
def test_a_broken_rollout_names_adapter_and_call(data, scorer, answer, message):
    with pytest.raises(ContractError) as caught:
        scorer.score(Says(answer, name="my_model"), batches(data, limit=2)[0])
    assert "adapter 'my_model', call generate" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("overshoot", [5e-5, -5e-5])
def test_rounding_at_the_ends_of_the_range_is_forgiven(data, scorer, overshoot):
    def rounds(context: Tensor, horizon: int) -> Tensor:
        return context[:, -1:].expand(-1, horizon, -1, -1, -1).round() + overshoot

    def exact(context: Tensor, horizon: int) -> Tensor:
        return context[:, -1:].expand(-1, horizon, -1, -1, -1).round()

    batch = batches(data, limit=2)[0]
    for a, b in zip(
        scorer.score(Says(rounds), batch), scorer.score(Says(exact), batch), strict=True
    ):
        assert a["psnr"] == pytest.approx(b["psnr"], abs=0.01)


def test_an_adapter_that_cannot_answer_is_told_why():
    card = AdapterCard(name="jepa", revision="1", family="predictive", capabilities=("encodes",))
    assert SUITE.unsupported(card) == (
        "the suite needs an adapter that generates or replays or predicts; jepa has: encodes"
    )
    assert SUITE.unsupported(CopyLast().card) is None
    assert SUITE.unsupported(RealFuture().card) is None


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ({"min_context": 3}, "takes ≥ 3 in multiples of 1"),
        ({"temporal_stride": 4}, "takes ≥ 1 in multiples of 4"),
        ({"max_context": 1}, "takes ≥ 1 and ≤ 1 in multiples of 1"),
    ],
)
def test_an_illegal_context_is_a_reason(card, reason):
    message = SUITE.unsupported(Says(grey, **card).card)
    assert message is not None
    assert message.startswith("a context of 2 frames is not legal for says")
    assert reason in message


def test_too_few_clips_leave_the_unbiased_distance_undefined_and_say_so(data):
    setting = Setting(CPU, batch_size=6, limit=6)
    few = SUITE.scorer(data, setting)
    rows = [row for b in batches(data, limit=6) for row in few.score(CopyLast(), b)]
    summary = few.summarise(rows)
    limit = metric(summary, "frechet_inf")
    assert limit.status == "skipped"
    assert limit.value is None
    assert limit.reason is not None
    assert "more clips, or fewer suite.components" in limit.reason
    for name in ("frechet", "kernel", "psnr"):
        assert metric(summary, name).status == "ok"
    assert not any("frechet_inf.influence" in row for row in summary.rows)


def test_the_protocol_contains_all_that_gives_the_scores_their_meaning(data):
    protocol = SUITE.protocol(data)
    assert protocol["clips"] == data.protocol
    assert {k: protocol[k] for k in ("context", "horizon", "samples")} == {
        "context": 2,
        "horizon": 6,
        "samples": 1,
    }
    card = protocol["extractor"]
    assert card["name"] == "effnetlite0-dt"
    assert card["projection"].startswith("pca4 ")
    assert "small/train" in card["preprocessing"]


def test_the_protocol_changes_with_the_training_clips(data, small_data, small_train):
    train = {"root": str(small_train), "max_videos": 4, "clips_per_video": 4}
    other = VideoData("small", str(small_data), train=train, **FORMAT)
    assert SUITE.protocol(other)["extractor"] != SUITE.protocol(data)["extractor"]


def test_clips_shorter_than_context_and_horizon_are_refused(data):
    with pytest.raises(UsageError, match="shorter than context and horizon") as caught:
        VideoDistance(context=4, horizon=12).trials(data)
    assert "data.frames=16" in str(caught.value)


@pytest.mark.parametrize(
    ("option", "least"), [("context", 1), ("horizon", 2), ("samples", 1), ("components", 1)]
)
def test_numbers_out_of_range_are_refused(option, least):
    VideoDistance(**{option: least})
    with pytest.raises(UsageError, match=f"suite.{option} is too small"):
        VideoDistance(**{option: least - 1})


def test_the_projection_is_fitted_on_the_datas_own_training_split(data):
    source = training_source(data, 4)
    assert source is data.train
    assert "small/train " in extractor_card(data, 4).preprocessing
    assert source.info.digest != data.info.digest


def test_a_training_split_that_shares_files_with_the_scored_clips_is_refused(small_data):
    data = VideoData("small", str(small_data), train={"root": str(small_data)}, **FORMAT)
    with pytest.raises(DataError, match="shares files"):
        training_source(data, 1)


def test_a_training_split_that_is_too_small_is_refused_and_not_replaced(small_data, small_train):
    train = {"root": str(small_train), "max_videos": 1}
    data = VideoData("small", str(small_data), train=train, **FORMAT)
    with pytest.raises(DataError, match="too few training clips") as caught:
        training_source(data, 64)
    assert "data.train=null" in str(caught.value)


def test_without_a_training_split_the_embedded_clips_serve(small_data, monkeypatch):
    small = MixturePlan("worlds", "", "drop", {"train": 24, "test": 6})
    monkeypatch.setitem(SETS, "worlds", small)
    data = VideoData("small", str(small_data), **FORMAT)
    source = training_source(data, 4)
    assert "worlds " in extractor_card(data, 4).preprocessing
    assert source.info.clips == 24
    scorer = SUITE.scorer(data, SETTING)
    assert len(measure(data, scorer, CopyLast()).metrics) == 9


def test_examples_show_truth_and_rollout_side_by_side(data, scorer):
    batch = batches(data, limit=2)[0]
    examples = scorer.examples(CopyLast(), batch)
    assert list(examples) == [t.id for t in batch.trials]
    video = examples[batch.trials[0].id]
    assert video.shape == (8, 64, 128, 3)
    left, right = video[:, :, :64], video[:, :, 64:]
    assert (left[:2] == right[:2]).all()
    assert (right[2:] == right[1]).all()
    assert (left[2:] != right[2:]).any()
