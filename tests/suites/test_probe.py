"""The suite ``probe`` on small clips: what it finds, what it must not find, what it may not see."""

import functools
import multiprocessing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from labelled_clips import CLASSES, Labelled, Seeing
from torch import Tensor

from worldbench.adapter import Latents
from worldbench.adapters.still import CopyLast
from worldbench.batches import clip_batches
from worldbench.errors import DataError, UsageError
from worldbench.schema import MetricResult
from worldbench.stats import wilson
from worldbench.suite import Batch, Row, Setting, Suite, Summary
from worldbench.suites.probe import Probe
from worldbench.suites.probe_summary import _per_class

CPU = torch.device("cpu")
SETTING = Setting(CPU, batch_size=7)
QUICK = {"least_steps": 20, "epochs": 2, "batch": 24}
LINEAR = Probe(["logistic", "ridge", "knn"], few_shares=[], controls=False, cache=False)


def asked(
    suite: Probe, adapter: object, data: Labelled, setting: Setting = SETTING, size: int = 7
) -> tuple[list[Row], Summary]:
    """Asks about all trials, in batches."""
    trials = suite.trials(data)[: setting.limit]
    scorer, rows = suite.scorer(data, setting), []
    for at in range(0, len(trials), size):
        some = tuple(trials[at : at + size])
        (clips,) = clip_batches(data, [[c for t in some for c in t.clips]], device=CPU)
        rows += scorer.score(adapter, Batch(some, clips, at))
    return rows, scorer.summarise(rows)


def metric(summary: Summary, name: str, **factors: object) -> MetricResult:
    (found,) = [m for m in summary.metrics if m.name == name and m.factors == factors]
    return found


@functools.cache
def plain() -> tuple[list[Row], Summary]:
    """What the linear probes say of an adapter that sees."""
    return asked(LINEAR, Seeing(), Labelled())


@pytest.fixture(scope="module")
def whole() -> tuple[list[Row], Summary]:
    """All that the suite measures, of an adapter that sees."""
    suite = Probe(**QUICK, cache=False, few_shares=[0.01, 0.02, 0.5], few_splits=2)
    return asked(suite, Seeing(), Labelled())


def test_it_is_a_suite_with_one_headline(whole: tuple[list[Row], Summary]) -> None:
    assert isinstance(LINEAR, Suite)
    headlines = [m for m in whole[1].metrics if m.headline]
    assert [(m.name, m.factors) for m in headlines] == [("top1", {"probe": "attentive"})]
    ranked = [row for row in whole[0] if row.get("top1") is not None]
    assert len(ranked) == headlines[0].n == 4 * len(CLASSES)
    assert {row["role"] for row in ranked} == {"rollout"}
    mean = sum(row["top1"] for row in ranked) / len(ranked)
    assert headlines[0].value == pytest.approx(mean)


def test_features_that_know_the_classes_are_found_out(whole: tuple[list[Row], Summary]) -> None:
    for probe in ("logistic", "ridge", "knn"):
        assert metric(whole[1], "top1", probe=probe).value >= 0.6
        assert metric(whole[1], "top5", probe=probe).value >= 0.9


def test_the_grid_is_in_the_rows_and_chooses_the_layer_that_knows(
    whole: tuple[list[Row], Summary],
) -> None:
    rows = [row for row in whole[0] if row["role"] == "grid"]
    linear = [row for row in rows if row["probe"] == "logistic"]
    # Two layers by two noise levels: four cells, twenty-five penalties each.
    assert len(linear) == 100
    assert {(row["layer"], row["noise"]) for row in linear} == {
        (layer, noise) for layer in ("still", "moving") for noise in (0.0, 0.05)
    }
    best = max(row["fold_top1"] for row in linear)
    (layer,) = {row["layer"] for row in whole[0] if row["role"] == "rollout"}
    assert best == max(row["fold_top1"] for row in linear if row["layer"] == layer)
    assert {len([r for r in rows if r["probe"] == p]) for p in ("ridge", "knn", "attentive")} == {
        25,
        4,
        8,
    }
    assert metric(whole[1], "fold_top1", depth=0.5).n == linear[0]["fold_clips"]


def test_controls_lie_where_they_must(whole: tuple[list[Row], Summary]) -> None:
    seen = metric(whole[1], "top1", probe="logistic").value
    for probe in ("logistic", "attentive"):
        mixed = metric(whole[1], "top1", probe=probe, control="shuffled_labels")
        chance = wilson(round(mixed.n / 6), mixed.n, level=0.99)
        assert chance.low <= mixed.value <= chance.high
    still = metric(whole[1], "top1", probe="logistic", control="single_frame").value
    assert still < seen - 0.2
    assert metric(whole[1], "top1", control="most_frequent_class").value == pytest.approx(1 / 6)


def test_fewer_labels_are_counted_and_shares_alike_are_left_out(
    whole: tuple[list[Row], Summary],
) -> None:
    by_labels = {
        m.factors["labels"]: m
        for m in whole[1].metrics
        if m.name == "top1" and "labels" in m.factors
    }
    assert sorted(by_labels) == [6, 24, 48]
    assert {row["split"] for row in whole[0] if row.get("share") == 0.5} == {0, 1}
    skipped = metric(whole[1], "top1", probe="logistic", share_of_labels=0.02)
    assert skipped.status == "skipped"
    assert by_labels[48].value == metric(whole[1], "top1", probe="logistic").value
    assert by_labels[6].value < by_labels[48].value


def test_the_confusion_matrix_counts_every_clip(whole: tuple[list[Row], Summary]) -> None:
    pairs = [row for row in whole[1].rows if row["role"] == "confusion"]
    assert sum(row["count"] for row in pairs) == 24
    right = sum(row["count"] for row in pairs if row["label"] == row["predicted"])
    assert right / 24 == pytest.approx(metric(whole[1], "top1", probe="attentive").value, abs=0.05)


def test_a_blind_adapter_is_at_chance() -> None:
    _, summary = asked(LINEAR, Seeing("blind", blind=True), Labelled())
    for probe in LINEAR.probes:
        assert metric(summary, "top1", probe=probe).value == pytest.approx(1 / 6)
        assert metric(summary, "top5", probe=probe).value == pytest.approx(5 / 6)


def test_poisoned_test_labels_change_no_choice() -> None:
    honest, _ = plain()
    poisoned, summary = asked(LINEAR, Seeing(), Labelled(relabelled=True))
    keys = ("layer", "noise", "setting", "predicted", "fold_top1")
    assert [[row.get(k) for k in keys] for row in honest] == [
        [row.get(k) for k in keys] for row in poisoned
    ]
    assert metric(summary, "top1", probe="logistic").value < 0.5


@pytest.mark.parametrize(
    ("setting", "size"),
    [(replace(SETTING, batch_size=3), 5), (replace(SETTING, num_workers=2), 24)],
)
def test_rows_do_not_depend_on_batches_or_workers(setting: Setting, size: int) -> None:
    assert asked(LINEAR, Seeing(), Labelled(), setting, size)[0] == plain()[0]


def rows_elsewhere() -> list[Row]:
    torch.set_num_threads(1)
    return plain()[0]


def test_another_process_gives_the_same_rows() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(rows_elsewhere) == plain()[0]


def test_what_comes_from_the_cache_is_what_was_computed() -> None:
    options = {**QUICK, "few_shares": [], "controls": False}
    expected, _ = asked(Probe(["attentive", "knn"], **options, cache=False), Seeing(), Labelled())
    kept = Probe(["attentive", "knn"], **options)
    first, again = Seeing(), Seeing()
    assert asked(kept, first, Labelled())[0] == expected
    assert asked(kept, again, Labelled())[0] == expected
    assert again.asked < first.asked


def test_what_is_said_of_the_views_of_a_video_is_averaged() -> None:
    data = Labelled(views=3)
    trials = LINEAR.trials(data)
    assert len(trials) == 24
    assert len(trials[0].clips) == 3
    rows, summary = asked(LINEAR, Seeing(), data)
    assert metric(summary, "top1", probe="logistic").n == 24
    single = plain()[1]
    assert (
        metric(summary, "top1", probe="logistic").value
        >= metric(single, "top1", probe="logistic").value - 0.1
    )
    assert rows[0]["gflops"] == 0.0


class Leaving(Seeing):
    """Sees, by way of NumPy, where nobody counts."""

    def encode(self, video: Tensor, **asked: Any) -> Latents:
        return super().encode(torch.from_numpy(video.numpy() * 1), **asked)


def test_work_that_cannot_be_counted_has_no_number() -> None:
    rows, summary = asked(LINEAR, Leaving("leaving"), Labelled())
    found = metric(summary, "gflops")
    assert (found.status, found.value) == ("skipped", None)
    assert "Tensor.numpy" in str(found.reason)
    assert rows[0]["gflops"] is None
    assert not [m for m in summary.metrics if "gflops" in m.factors]
    counted = metric(plain()[1], "gflops")
    assert (counted.status, counted.value, counted.reason) == ("ok", 0.0, None)
    assert metric(plain()[1], "top1", probe="logistic", gflops=0.0).status == "ok"
    assert "uncounted" not in plain()[0][0]
    same = metric(plain()[1], "top1", probe="logistic")
    assert metric(summary, "top1", probe="logistic") == same


def test_accuracy_by_class_counts_classes_alike() -> None:
    rows = [row for row in plain()[0] if row["role"] != "grid"]
    # Three of four clips of one class are taken away: it counts as much as the others.
    kept = [row for row in rows if row["label"] != "left" or row["trial"].endswith("/0")]
    summary = LINEAR.scorer(Labelled(), SETTING).summarise(kept)
    of_class: dict[str, list[float]] = {}
    for row in kept:
        if row["role"] in ("probe", "rollout") and row["probe"] == "logistic":
            of_class.setdefault(row["label"], []).append(row["correct"])
    means = [sum(values) / len(values) for values in of_class.values()]
    found = metric(summary, "per_class", probe="logistic")
    assert found.value == pytest.approx(sum(means) / len(means))


def test_an_interval_by_class_does_not_count_on_other_numbers_of_clips() -> None:
    """3, 10 and 27 clips of which .9 are right: 95 % of intervals should hold .9, and no more."""
    rng, counts, held, width = np.random.default_rng(0), (3, 10, 27), 0, []
    for _ in range(300):
        rows: list[Row] = [
            {"label": str(n), "cluster": f"{n}/{i}", "correct": float(rng.random() < 0.9)}
            for n in counts
            for i in range(n)
        ]
        found = _per_class(rows, {})
        held += found.low <= 0.9 <= found.high
        width.append(found.high - found.low)
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert 0.75 < held / 300 < 0.99  # 3 clips of a class tell little of how much they vary
    assert np.mean(width) < 0.4
    right = [{**row, "correct": 1.0} for row in rows]
    whole = _per_class(right, {})
    assert (whole.value, whole.high) == (1.0, 1.0)
    assert whole.low == pytest.approx(wilson(40, 40).low)


def test_clips_that_probes_learn_from_are_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    same = Labelled()
    monkeypatch.setattr(Labelled, "contents", frozenset({"one film", "another"}))
    with pytest.raises(DataError, match="shares files") as caught:
        LINEAR.trials(same)
    assert "2 of 2 files of labelled (data) are in labelled" in str(caught.value)
    assert "data.split=test2 and data.train.split=train2" in str(caught.value)


def test_transfer_clips_are_not_those_that_probes_learn_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learnt = Labelled().train
    monkeypatch.setattr("worldbench.suites.probe_protocol.transfer_source", lambda named: learnt)
    with pytest.raises(DataError, match=r"suite\.transfer"):
        LINEAR.protocol(Labelled())


def test_other_clips_of_the_same_classes_are_asked_about_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = Labelled(split="elsewhere", each=2)
    monkeypatch.setattr("worldbench.suites.probe_scorer.transfer_source", lambda named: other)
    rows, summary = asked(LINEAR, Seeing(), Labelled())
    found = metric(summary, "top1", probe="logistic", data="labelled")
    assert found.n == found.clusters == 12
    assert found.value >= 0.5
    assert {row["trial"] for row in rows if row["role"] == "transfer"} == {rows[0]["trial"]}


def test_data_that_it_cannot_use_are_refused() -> None:
    with pytest.raises(DataError, match="no training split"):
        LINEAR.trials(Labelled(training=0))
    bare = replace(Labelled(), classes=("left",))
    with pytest.raises(DataError, match="two classes or more"):
        LINEAR.scorer(bare, SETTING)


def test_classes_that_no_probe_has_seen_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = replace(Labelled(), split="train", classes=CLASSES[:4], each=4)
    monkeypatch.setattr(Labelled, "train", fewer)
    with pytest.raises(DataError, match="classes that the training split lacks") as caught:
        LINEAR.trials(Labelled())
    assert "'blue left'" in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"probes": ["svm"]},
        {"probes": []},
        {"probes": ["knn", "knn"]},
        {"few_shares": [0.0]},
        {"few_shares": [1.0]},
        {"depth": 0},
        {"epochs": 0},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Probe(**options)


def test_who_encodes_nothing_is_skipped_with_the_reason() -> None:
    reason = LINEAR.unsupported(CopyLast().card)
    assert reason is not None
    assert "encodes" in reason
    assert LINEAR.unsupported(Seeing().card) is None


def test_an_unknown_transfer_names_what_there_is() -> None:
    with pytest.raises(UsageError, match="unknown data"):
        Probe(transfer="worlds_moton").protocol(Labelled())


def test_the_protocol_names_the_training_clips_and_every_grid() -> None:
    told = LINEAR.protocol(Labelled())
    assert told["train"]["digest"] == Labelled().train.info.digest
    assert told["grid"]["heads"] == 100
    assert told != LINEAR.protocol(Labelled(training=9))
