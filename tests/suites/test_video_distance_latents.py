"""Predictors of latents on clips of one coloured square: 32 trials, 64 training clips."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from latent_adapters import STRIDE, WIDTH, Constant, CopiesLatents, Told
from torch import Tensor

from worldbench import cli
from worldbench import record as records
from worldbench.adapter import Latents
from worldbench.batches import clip_batches
from worldbench.data.real import VideoData
from worldbench.data.video import encode
from worldbench.errors import ContractError
from worldbench.leaderboard.table import build
from worldbench.parts import read_rows
from worldbench.schema import AdapterCard, MetricResult, Record
from worldbench.suite import Batch, Scorer, Setting, Summary
from worldbench.suites.video_distance import VideoDistance

CPU = torch.device("cpu")
SETTING = Setting(CPU, batch_size=6)
SUITE = VideoDistance(context=2, horizon=4, components=4)
FORMAT = {"frames": 6, "fps": 15.0, "size": (64, 64)}
OWN, READ = "effnetlite0-dt-pca4", "effnetlite0-dt-pca4-readout1"
DISTANCES = ("frechet_inf", "frechet", "kernel")


def square(seed: int) -> np.ndarray:
    """Draws a square of any colour and size on a ground of any colour, at any speed."""
    rng = np.random.default_rng(seed)
    ground, skin = rng.uniform(0.1, 0.9, (2, 3))
    side, start, speed = int(rng.integers(8, 40)), rng.integers(0, 64, 2), rng.integers(-8, 9, 2)
    video = np.tile(ground, (6, 64, 64, 1))
    for t, frame in enumerate(video):
        rows, columns = ((start[k] + speed[k] * t + np.arange(side)) % 64 for k in (0, 1))
        frame[np.ix_(rows, columns)] = skin
    return (video * 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``test/`` and ``train/``, 64 videos of one clip each."""
    root = tmp_path_factory.mktemp("squares")
    for split, count, first in (("test", 64, 0), ("train", 64, 1000)):
        (root / split).mkdir()
        for i in range(count):
            encode(root / split / f"{i:02d}.mp4", square(first + i), 15)
    return root


@pytest.fixture(scope="module")
def data(squares: Path) -> VideoData:
    train = {"root": str(squares / "train")}
    return VideoData("squares", str(squares / "test"), train=train, **FORMAT)


@pytest.fixture(scope="module")
def trials(data: VideoData) -> Batch:
    every = SUITE.trials(data)
    (clips,) = clip_batches(data, [[trial.id for trial in every]], device=CPU)
    return Batch(tuple(every), clips, 0)


@pytest.fixture
def scorer(data: VideoData) -> Scorer:
    return SUITE.scorer(data, SETTING)


def measure(scorer: Scorer, adapter: Any, trials: Batch, size: int = 6) -> Summary:
    starts = range(0, len(trials.trials), size)
    return scorer.summarise(
        [r for i in starts for r in scorer.score(adapter, trials[i : i + size])]
    )


def found(
    metrics: Sequence[MetricResult], name: str, extractor: str = READ, path: str | None = None
) -> MetricResult:
    (metric,) = [
        m
        for m in metrics
        if m.name == name
        and m.factors.get("extractor") == extractor
        and m.factors.get("path") == path
    ]
    return metric


def value(summary: Summary, name: str, path: str | None = None) -> float:
    result = found(summary.metrics, name, path=path).value
    assert result is not None
    return result


def rotation() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator)).Q


def test_who_knows_the_future_sits_at_the_ceiling_of_the_read_out(scorer, trials):
    summary = measure(scorer, Told(trials.clips, SUITE.context), trials)
    for name in DISTANCES:
        assert value(summary, name) == value(summary, name, "ceiling")
        # Between so few clips the kernel distance tells less than the Fréchet distance.
        times = 1 if name == "kernel" else 4
        assert times * value(summary, name) < value(summary, name, "floor")
    assert {row["readout_error"] for row in summary.rows[:32]} == {0.0}


@pytest.mark.parametrize("trivial", [CopiesLatents, Constant])
def test_trivial_predictions_lie_far_behind_the_ceiling(scorer, trials, trivial):
    told = measure(scorer, Told(trials.clips, SUITE.context), trials)
    summary = measure(scorer, trivial(), trials)
    for name in DISTANCES:
        times = 1 if name == "kernel" else 4
        assert value(summary, name) > times * value(summary, name, "ceiling")
        # The scale is the encoder's alone, whatever is predicted in its space.
        assert value(summary, name, "ceiling") == pytest.approx(value(told, name, "ceiling"))
        assert value(summary, name, "floor") == pytest.approx(value(told, name, "floor"))
    assert min(row["readout_error"] for row in summary.rows[:32]) > 0


def test_a_still_future_is_the_floor_that_copied_latents_of_it_reach(scorer, trials):
    class Still(CopiesLatents):
        def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
            return self.encode(context[:, -1:].expand(-1, horizon, -1, -1, -1))

    summary = measure(scorer, Still("still"), trials)
    for name in DISTANCES:
        assert value(summary, name) == value(summary, name, "floor")


def test_axes_and_scale_of_the_latent_space_do_not_matter(scorer, trials):
    generator = torch.Generator().manual_seed(3)
    axes = torch.eye(WIDTH)[torch.randperm(WIDTH, generator=generator)]
    scales = torch.logspace(-2, 2, WIDTH) * (-1) ** torch.arange(WIDTH)
    one = measure(scorer, CopiesLatents(), trials)
    other = measure(scorer, CopiesLatents(turn=axes * scales), trials)
    for name in DISTANCES:
        for path in (None, "ceiling", "floor"):
            assert value(other, name, path) == pytest.approx(value(one, name, path), rel=1e-3)


def test_a_rotation_of_the_latent_space_leaves_the_verdict(scorer, trials):
    # Columns are standardised and changes are absolute values: neither turns with the axes.
    turned = CopiesLatents(turn=rotation())
    one, other = (measure(scorer, a, trials) for a in (CopiesLatents(), turned))
    for name in DISTANCES:
        assert 0.5 < value(other, name) / value(one, name) < 2
        assert value(other, name) > value(other, name, "floor") > value(other, name, "ceiling")


def test_what_is_scored_does_not_move_the_read_out(data, trials, monkeypatch, tmp_path):
    def rows(clips: Tensor, cache: str) -> list[dict[str, Any]]:
        scorer = SUITE.scorer(data, SETTING)
        monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / cache))  # latents are made anew
        first = scorer.score(CopiesLatents(), replace(trials, clips=clips)[:2])
        return first + scorer.score(CopiesLatents(), trials[2:4])

    clean, poisoned = rows(trials.clips, "clean"), rows(1 - trials.clips.roll(1, 1), "poisoned")
    assert clean[2:] == poisoned[2:]
    assert clean[0]["features"] != poisoned[0]["features"]
    assert {row["readout_r2"] for row in clean} == {row["readout_r2"] for row in poisoned}


def test_the_same_question_gets_the_same_answer(data, trials, monkeypatch, tmp_path):
    one, other = SUITE.scorer(data, SETTING), SUITE.scorer(data, SETTING)
    summary = measure(one, CopiesLatents(), trials)
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path))
    assert measure(other, CopiesLatents(), trials) == summary


def test_scores_do_not_depend_on_the_batch(data, trials, monkeypatch, tmp_path):
    scorers = SUITE.scorer(data, SETTING), SUITE.scorer(data, SETTING)
    one = measure(scorers[0], CopiesLatents(), trials, size=32)
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path))  # training clips, too, one by one
    other = measure(scorers[1], CopiesLatents(), trials, size=1)
    for a, b in zip(one.metrics, other.metrics, strict=True):
        assert (a.name, a.factors, a.status) == (b.name, b.factors, b.status)
        assert a.value is None or a.value == pytest.approx(b.value, rel=1e-3)


def test_latents_of_training_clips_are_computed_once_per_revision(data, trials):
    class Counts(CopiesLatents):
        seen = 0

        def encode(self, video: Tensor, **options: Any) -> Latents:
            Counts.seen += len(video)
            return super().encode(video)

    def asked(adapter: CopiesLatents) -> int:
        before = Counts.seen
        measure(SUITE.scorer(data, SETTING), adapter, trials)
        return Counts.seen - before

    each = 4 * 32  # of every trial: last context step, true future, still one, reference clip
    assert asked(Counts("counts")) == each + 64
    assert asked(Counts("counts")) == each
    assert asked(Counts("counts", turn=rotation())) == each + 64


def test_metrics_that_need_pixels_are_skipped_with_the_reason(scorer, trials):
    metrics = measure(scorer, CopiesLatents(), trials).metrics
    for name in DISTANCES:
        skipped = found(metrics, name, OWN)
        assert skipped.status == "skipped"
        assert skipped.reason == f"it foresees latents, not pixels: see {name}[{READ}]"
        assert found(metrics, name).status == "ok"
    frames = [m for m in metrics if m.name in ("psnr", "ssim")]
    assert len(frames) == 6
    assert {m.status for m in frames} == {"skipped"}
    r2 = found(metrics, "readout_r2")
    assert (r2.n, r2.clusters) == (64, 64)
    assert r2.value is not None
    assert 0.2 < r2.value < 1


def test_rows_hold_one_answer_per_trial_and_influence_values(scorer, trials):
    rows = measure(scorer, CopiesLatents(), trials).rows
    assert [row["role"] for row in rows] == ["rollout"] * 32 + ["reference"] * 32
    for name in ("frechet_inf", "kernel"):
        psi = torch.tensor([row[f"{name}.influence"] for row in rows], dtype=torch.float64)
        assert abs(float(psi.mean())) < 1e-9 * float(psi.abs().max())
    assert not {"features", "ceiling", "psnr"} & {name for row in rows for name in row}


def test_too_few_clips_are_a_reason_on_every_path(data, trials):
    few = SUITE.scorer(data, Setting(CPU, limit=6))
    summary = measure(few, CopiesLatents(), trials[:6])
    for path in (None, "ceiling", "floor"):
        limit = found(summary.metrics, "frechet_inf", path=path)
        assert limit.status == "skipped"
        assert "more clips, or fewer suite.components" in str(limit.reason)


def test_a_read_out_that_finds_nothing_tells_no_distance(scorer, trials):
    class Blind(CopiesLatents):
        def encode(self, video: Tensor, **options: Any) -> Latents:
            return Latents(torch.ones_like(super().encode(video).tokens), STRIDE)

    summary = measure(scorer, Blind("blind", turn=2 * torch.eye(WIDTH)), trials)
    for name in DISTANCES:
        for path in (None, "ceiling", "floor"):
            result = found(summary.metrics, name, path=path)
            assert result.status == "skipped"
            assert str(result.reason).startswith("the read-out finds nothing in these latents: R²")
    assert found(summary.metrics, "readout_r2").value == pytest.approx(0, abs=1e-9)


def test_latents_have_no_pixels_to_show(scorer, trials):
    assert scorer.examples(CopiesLatents(), trials[:2]) == {}


class OtherGrid(CopiesLatents):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return Latents(super().predict(context, horizon).tokens[:, :, ::2], STRIDE)


class OtherWidth(CopiesLatents):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return Latents(super().predict(context, horizon).tokens[..., :-1], STRIDE)


class OtherStride(CopiesLatents):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return Latents(super().predict(context, horizon).tokens[:, :2], 3)


class StepTooMany(CopiesLatents):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return super().predict(context, horizon + STRIDE)


class EncodesTheBatchAway(CopiesLatents):
    def encode(self, video: Tensor, **options: Any) -> Latents:
        return Latents(super().encode(video).tokens[:1], STRIDE)

    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return CopiesLatents().predict(context, horizon)


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (OtherGrid, "temporal stride = (4, 8, 24, 2), encode (8, 8, 24, 2)"),
        (OtherWidth, "temporal stride = (8, 8, 23, 2), encode (8, 8, 24, 2)"),
        (OtherStride, "temporal stride = (8, 8, 24, 3), encode (8, 8, 24, 2)"),
        (StepTooMany, "adapter 'my_model', call predict: wrong shape"),
        (EncodesTheBatchAway, "adapter 'my_model', call encode: wrong shape"),
    ],
)
def test_latents_that_do_not_fit_name_adapter_and_shapes(scorer, trials, adapter, said):
    with pytest.raises(ContractError) as caught:
        scorer.score(adapter("my_model"), trials[:3])
    assert "adapter 'my_model'" in str(caught.value)
    assert said in str(caught.value)


def test_neither_context_nor_truth_suffer_from_what_an_adapter_does_to_its_input(scorer, trials):
    class Spoils(CopiesLatents):
        def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
            latents = super().predict(context, horizon)
            context.zero_()
            return latents

        def encode(self, video: Tensor, **options: Any) -> Latents:
            latents = super().encode(video)
            video.zero_()
            return latents

    before = trials.clips.clone()
    for mine, sound in zip(
        scorer.score(Spoils("spoils"), trials[:2]),
        scorer.score(CopiesLatents(), trials[:2]),
        strict=True,
    ):
        assert mine["ceiling"] == sound["ceiling"]
        assert mine["floor"] == sound["floor"]
    assert torch.equal(trials.clips, before)


def test_predictors_are_asked_if_they_also_encode():
    def said(*capabilities: str) -> str | None:
        card = {"name": "jepa", "revision": "1", "family": "predictive"}
        return SUITE.unsupported(AdapterCard(**card, capabilities=capabilities))

    assert said("encodes", "predicts") is None
    assert said("generates", "predicts") is None
    assert str(said("predicts")).startswith("jepa predicts latents and does not encode clips")
    assert str(said("predicts", "surprises")).startswith("jepa predicts latents and does not")
    assert said("encodes", "surprises") == (
        "the suite needs an adapter that generates or replays or predicts; jepa has: encodes, "
        "surprises"
    )


def test_who_generates_is_asked_for_pixels_even_if_it_predicts(scorer, trials):
    class Both(CopiesLatents):
        def generate(
            self, context: Tensor, horizon: int, *, samples: int, seeds: Sequence[int], **_: Any
        ) -> Tensor:
            return context[:, None, -1:].expand(-1, samples, horizon, -1, -1, -1)

    metrics = measure(scorer, Both("both"), trials).metrics
    assert {m.status for m in metrics} == {"ok"}
    assert len(metrics) == 9


@pytest.fixture
def run(clean_process, tmp_path, squares):  # type: ignore[no-untyped-def]
    """Runs one adapter of ``latent_adapters``, or a shipped one, and returns its record's path."""
    configs, root = tmp_path / "conf" / "adapter", tmp_path / "records"
    configs.mkdir(parents=True)
    for name, target in (("a_copy", "CopiesLatents"), ("a_constant", "Constant")):
        text = f"name: {name}\nsummary: of the tests\nfamily: predictive\n"
        (configs / f"{name}.yaml").write_text(f"{text}_target_: latent_adapters.{target}\n")
    words = [
        *("data=folder", f"data.root={squares}/test", f"data.train={{root: {squares}/train}}"),
        *("data.frames=6", "data.size=[64,64]", "suite.context=2", "suite.horizon=4"),
        *("suite.components=4", "device=cpu", "num_workers=0", f"records={root}"),
    ]

    def run(adapter: str) -> Path:
        there = set(root.glob("*/*/*/*.json"))
        chosen = ["--config-dir", str(configs.parent), f"adapter={adapter}"]
        assert cli.main(["run", *chosen, *words]) == 0
        (path,) = set(root.glob("*/*/*/*.json")) - there
        return path

    return run


@pytest.mark.slow
def test_a_predictor_becomes_a_record_beside_those_of_generators(run, tmp_path, capsys):
    root = tmp_path / "records"
    for adapter in ("copy_last", "linear_flow", "real_future"):
        run(adapter)
    before = build(root).sections[0]
    paths = [run("a_copy"), run("a_constant")]
    record: Record = records.read(paths[0])
    assert record.body.status == "ok"
    assert len(read_rows(paths[0].with_suffix(".parquet"))) == 64
    (section,) = build(root).sections
    # Names that come first in the alphabet must not bring their columns to the front.
    shown = section.columns[: len(before.columns)]
    assert section.headline == before.headline
    assert {c.label for c in before.columns} <= {c.label for c in section.columns}
    assert [c for c in section.columns if c.headline] == [c for c in before.columns if c.headline]
    generators = {row.adapter: row for row in section.rows}
    for row in before.rows:
        for column, cell in zip(before.columns, row.cells, strict=True):
            same = section.columns.index(column)
            now = generators[row.adapter].cells[same]
            assert replace(now, rank=None) == replace(cell, rank=None)
    read = [c.label for c in section.columns if READ in c.label]
    assert read == [f"{name}[{READ}]" for name in DISTANCES]
    assert shown == before.columns
    assert cli.main(["leaderboard", "--records", str(root), "--out", str(tmp_path / "board")]) == 0
    text = (tmp_path / "board" / "leaderboard.md").read_text()
    assert "skipped: it foresees latents, not pixels: see frechet" in text
    assert "path = ceiling" in text
    capsys.readouterr()
    assert cli.main(["verify", str(paths[0]), "--trust"]) == 0
    assert cli.main(["verify", str(paths[0]), "--limit", "3", "--trust"]) == 0
