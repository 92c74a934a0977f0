"""Costs of whole adapters against counts by hand from the shapes of their networks."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_clips import Labelled, Seeing
from latent_adapters import CopiesLatents
from torch import Tensor, nn

from worldbench import cli
from worldbench import record as records
from worldbench.adapter import Adapter
from worldbench.adapters.linear_flow import LinearFlow
from worldbench.adapters.still import CopyLast
from worldbench.batches import clip_batches
from worldbench.errors import ContractError, DataError, UsageError
from worldbench.schema import AdapterCard, MetricResult, digest
from worldbench.suite import Batch, Row, Setting
from worldbench.suites.cost import Cost
from worldbench_models.dit.adapter import DiTAdapter
from worldbench_models.jepa.adapter import JEPAAdapter

SETTING = Setting(torch.device("cpu"))
SHORT = Cost(context=2, horizon=6, quads=2)


class Long(Labelled):
    """Clips of 16 frames."""

    @property
    def frames(self) -> int:
        return 16

    def load(self, ids: Sequence[str]) -> np.ndarray:
        return np.repeat(super().load(ids), 2, axis=1)


class Convolving:
    """Foresees frames by a convolution in space, one after the other."""

    def __init__(self, size: tuple[int, int] | None = None, fps: float | None = None) -> None:
        self.net = nn.Conv2d(3, 3, 3, padding=1)
        self.sizes: set[tuple[int, ...]] = set()
        self.card = AdapterCard(
            name="convolving",
            revision=digest(["convolving", size, fps]),
            family="generative",
            capabilities=("generates",),
            parameters=sum(p.numel() for p in self.net.parameters()),
            size=size,
            fps=fps,
        )

    def generate(self, context: Tensor, horizon: int, *, samples: int, seeds, **_) -> Tensor:
        self.sizes.add(tuple(context.shape))
        frames = [context[:, -1]]
        for _step in range(horizon):
            frames.append(self.net(frames[-1]).sigmoid())
        return torch.stack(frames[1:], dim=1)[:, None].expand(-1, samples, -1, -1, -1, -1)


def costs(
    suite: Cost, adapter: Adapter, data: Labelled | None = None
) -> tuple[dict[str, MetricResult], list[Row], tuple[str, ...]]:
    """Returns metrics by name, rows and notes."""
    data = Labelled() if data is None else data
    scorer, rows = suite.scorer(data, SETTING), []
    for i, trial in enumerate(suite.trials(data)):
        (video,) = clip_batches(data, [list(trial.clips)], device=SETTING.device)
        rows += scorer.score(adapter, Batch((trial,), video, i))
    summary = scorer.summarise(rows)
    return {metric.name: metric for metric in summary.metrics}, rows, tuple(scorer.notes)


def test_a_convolution_costs_what_its_shapes_say() -> None:
    found, rows, notes = costs(SHORT, Convolving())
    one = 2 * (16 * 16 * 3) * (3 * 9) / 1e9  # GFLOP a frame of 16 × 16
    assert found["parameters"].value == 3 * 3 * 9 + 3
    per_second = found["generate_gflops"]
    assert per_second.value == pytest.approx(one * 8, rel=1e-12), "six frames are 0.75 s at 8 fps"
    assert per_second.low == per_second.high == per_second.value
    assert per_second.unit == "GFLOP a second foreseen"
    # Rollouts of the two contexts of a quad; comparing them with what came is the suite's work.
    assert found["surprise_gflops"].value == pytest.approx(2 * 6 * one, rel=1e-12)
    assert found["surprise_gflops"].reason == "by sample_distance"
    assert found["encode_gflops"].reason == "convolving does not encode"
    assert found["predict_gflops"].reason == "convolving does not predict"
    assert len(rows) == 2 * 4
    assert [note.split(":")[0] for note in notes] == ["generate", "surprise"]
    assert "s (median of 2 calls, 6 frames after 2)" in notes[0]


def test_an_adapter_is_asked_at_its_own_size_and_rate() -> None:
    adapter = Convolving(size=(24, 32), fps=4.0)
    found, *_ = costs(SHORT, adapter)
    one = 2 * (24 * 32 * 3) * (3 * 9) / 1e9
    assert adapter.sizes == {(1, 2, 3, 24, 32), (2, 2, 3, 24, 32)}
    assert found["generate_gflops"].value == pytest.approx(one * 4, rel=1e-12)


def test_predictors_without_an_operator_of_their_own_pay_for_what_is_compared() -> None:
    found, *_ = costs(SHORT, CopiesLatents())
    patches, product, turn = 4 * 4, 2 * 384 * 24, 2 * 24 * 24  # of clips of 8 frames of 16 × 16
    step = (patches // 4) * (product + turn) / 1e9
    assert found["encode_gflops"].value == pytest.approx(4 * step, rel=1e-12)
    assert found["predict_gflops"].value == pytest.approx(step / 0.75, rel=1e-12)
    assert found["surprise_gflops"].value == pytest.approx(4 * (step + 3 * step), rel=1e-12)
    assert found["surprise_gflops"].reason == "by latent_error"
    assert found["generate_gflops"].status == "skipped"


def test_a_copy_costs_nothing_and_says_what_does_not_count() -> None:
    found, *_ = costs(SHORT, CopyLast())
    assert found["generate_gflops"].value == 0
    assert "other arithmetic does not count" in str(found["generate_gflops"].reason)


def test_work_that_no_counter_sees_has_no_number() -> None:
    found, rows, _ = costs(SHORT, LinearFlow())
    for name in ("generate_gflops", "surprise_gflops"):
        assert found[name].status == "skipped"
        assert found[name].value is None
        assert "work outside of PyTorch" in str(found[name].reason)
    assert all(row["gflops"] is None for row in rows)


def test_an_illegal_context_is_no_question() -> None:
    found, *_ = costs(Cost(context=3, horizon=5, quads=1), CopiesLatents())
    assert found["encode_gflops"].status == "ok"
    for name in ("predict_gflops", "surprise_gflops"):
        assert "a context of 3 frames is not legal for copies" in str(found[name].reason)


def test_a_card_that_tells_no_parameters_has_none() -> None:
    found, *_ = costs(SHORT, Seeing())
    assert found["parameters"].status == "skipped"
    assert found["surprise_gflops"].reason.startswith("surprise is measured by")


class Short(Convolving):
    """Foresees a frame less than it was asked for."""

    def generate(self, context: Tensor, horizon: int, **more) -> Tensor:
        return super().generate(context, horizon - 1, **more)


def test_a_cheaper_answer_to_another_question_does_not_count() -> None:
    with pytest.raises(ContractError, match="wrong number of frames"):
        costs(SHORT, Short())


WIDTH, MIXED, HIDDEN, PATCH = 384, 320, 1152, 384
"""Of both reference models in size s."""


def blocks(number: int, tokens: int) -> int:
    """Operations of blocks: projections and gated MLP of every token, two products of attention."""
    per_token = 2 * (4 * WIDTH * MIXED + 3 * WIDTH * HIDDEN)
    return number * (tokens * per_token + 4 * tokens**2 * MIXED)


def test_the_reference_dit_costs_what_its_shapes_say() -> None:
    """512 tokens: 8 latent steps of 8 × 8. Features are taken after block 3 of 4.

    Of the two steps that are given the last block makes no more than keys and values.
    """
    adapter = DiTAdapter(weights="random", sampler_steps=3, levels=[0.2, 0.5])
    found, *_ = costs(Cost(quads=1), adapter, Long())
    ends, level = 2 * 512 * PATCH * WIDTH, 2 * 8 * (128 * 128 * 2 + 128 * 6 * WIDTH)
    asked = 384
    last = 4 * WIDTH * MIXED * 512 + 2 * (2 * WIDTH * MIXED + 3 * WIDTH * HIDDEN) * asked
    last += 4 * asked * 512 * MIXED
    forward = blocks(3, 512) + last + ends + 2 * asked * WIDTH * PATCH + level
    assert found["encode_gflops"].value * 1e9 == blocks(3, 512) + ends + level
    assert found["generate_gflops"].value * 1e9 == pytest.approx(3 * forward / 1.5, rel=1e-12)
    # Four clips, two levels, noise of either sign.
    assert found["surprise_gflops"].value * 1e9 == pytest.approx(4 * 2 * 2 * forward, rel=1e-12)
    assert found["surprise_gflops"].reason == "by denoising_error"
    assert found["parameters"].value == adapter.card.parameters


def test_the_reference_jepa_costs_what_its_shapes_say() -> None:
    """Two of eight latent steps are seen; the predictor is 192 wide and has two blocks."""
    found, *_ = costs(Cost(quads=1), JEPAAdapter(weights="random"), Long())

    def encoded(tokens: int) -> int:
        return 2 * tokens * PATCH * WIDTH + blocks(4, tokens)

    predictor = 2 * (2 * 512 * (4 * 192 * 192 + 3 * 192 * 304) + 4 * 512**2 * 192)
    foreseen = encoded(128) + predictor + 2 * (128 * WIDTH * 192 + 384 * 192 * WIDTH)
    assert found["encode_gflops"].value * 1e9 == pytest.approx(encoded(512), rel=1e-12)
    assert found["predict_gflops"].value * 1e9 == pytest.approx(foreseen / 1.5, rel=1e-12)
    quad = 4 * (foreseen + encoded(384))
    assert found["surprise_gflops"].value * 1e9 == pytest.approx(quad, rel=1e-12)


@pytest.mark.parametrize("option", ["context", "horizon", "quads"])
def test_options_out_of_range_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match=option):
        Cost(**{option: 0})


def test_data_that_cannot_be_asked_about_are_refused() -> None:
    with pytest.raises(UsageError, match="shorter than context and horizon"):
        Cost().trials(Labelled())
    with pytest.raises(DataError, match="too few clips"):
        Cost(context=2, horizon=2, quads=13).trials(Labelled())


@pytest.mark.usefixtures("clean_process")
def test_counts_are_the_bodys_and_seconds_the_provenances(
    small_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    words = ["suite=cost", "suite.quads=1", "data=folder", f"data.root={small_data}"]
    words += ["data.frames=16", "data.size=[32,32]", "num_workers=0", "device=cpu"]
    for place in ("once", "again"):
        for adapter in ("context_mean", "real_future"):
            done = cli.main(["run", *words, f"adapter={adapter}", f"records={tmp_path / place}"])
            assert done == 0
    found = {
        place: {r.body.status: (path, r) for path, r in records.read_all(tmp_path / place)}
        for place in ("once", "again")
    }
    (path, once), (_, again) = (found[place]["ok"] for place in ("once", "again"))
    assert once.body == again.body
    assert once.body.headline is None
    assert any("median of 1 calls" in note for note in once.provenance.notes)
    assert "median of" not in once.body.model_dump_json()
    _, replayed = found["once"]["skipped"]
    assert "looks answers up by trial" in str(replayed.body.reason)
    assert cli.main(["verify", str(path)]) == 0
