import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from gate_adapters import Predictor, Surprised, Tiny, constant, copied, pooled_patches
from gate_adapters import trained as trained_run

from worldbench.batches import to_video
from worldbench.errors import ContractError, UsageError
from worldbench_models.diagnostics import BASELINES, rank_me
from worldbench_models.gates.__main__ import main
from worldbench_models.gates.features import (
    PIXELS,
    Features,
    Pooled,
    Readout,
    feature_gates,
    measure_features,
    read_out,
)
from worldbench_models.gates.foresight import (
    CONTEXTS,
    Foresight,
    Skill,
    foresight_gates,
    measure_foresight,
)
from worldbench_models.gates.gate import PREDICTORS_MFU, mfu_gate
from worldbench_models.gates.operators import chosen_operator
from worldbench_models.gates.report import read_report
from worldbench_models.jepa.adapter import JEPAAdapter
from worldbench_models.motion import MotionClips, single_object_clips


@pytest.fixture(scope="module")
def clips(moving_patch: Callable[..., np.ndarray]) -> torch.Tensor:
    """Twelve clips of a square that moves at a constant pace."""
    rng = np.random.default_rng(0)
    made = [
        moving_patch(
            seed,
            frames=16,
            velocity=tuple(int(v) for v in rng.choice([-3, -2, 2, 3], 2)),
            start=tuple(int(v) for v in rng.integers(40, size=2)),
        )
        for seed in range(12)
    ]
    return torch.from_numpy(np.stack(made))


def knowing(
    clips: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor] = lambda latents: latents
) -> Predictor:
    """Knows the clips by their context, and predicts what comes with a change."""
    videos = to_video(clips)

    def predict(context: torch.Tensor, horizon: int) -> torch.Tensor:
        seen = context.shape[1]
        assert seen + horizon == 16  # it is shown the context alone
        found = [next(v for v in videos if torch.equal(v[:seen], one)) for one in context]
        return change(pooled_patches(torch.stack(found)[:, seen:]))

    return Predictor(predict)


def noise(like: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


def many(measured: Foresight) -> Foresight:
    return replace(measured, clips=512)


def value(measured: Foresight, baseline: str, context: int) -> float:
    skill = measured.skill[baseline][str(context)]
    assert skill is not None
    return skill.value


def test_who_knows_the_future_has_skill_one_and_opens_both_gates(clips: torch.Tensor) -> None:
    found = measure_foresight(knowing(clips), clips, batch=5)
    assert (found.clips, found.fit, found.illegal) == (6, 6, ())
    for baseline in BASELINES:
        for context in CONTEXTS:
            assert found.skill[baseline][str(context)] == Skill(1.0, 1.0, 1.0)
    assert [gate.status for gate in foresight_gates(many(found))] == ["passed"] * 2
    few = foresight_gates(found)
    assert [gate.status for gate in few] == ["not measured"] * 2
    assert "only 6 clips" in str(few[0].reason)
    assert str(few[0].note).startswith("1.000")


def test_who_copies_has_no_skill_against_a_copy(clips: torch.Tensor) -> None:
    found = measure_foresight(Predictor(copied), clips)
    for context in CONTEXTS:
        assert found.skill["copy"][str(context)] == Skill(0.0, 0.0, 0.0)
    assert foresight_gates(many(found))[1].status == "failed"


def test_noise_of_the_same_size_has_less_skill_than_the_mean(clips: torch.Tensor) -> None:
    random = Predictor(lambda context, horizon: noise(copied(context, horizon)))
    gates = foresight_gates(many(measure_foresight(random, clips)))
    assert [gate.status for gate in gates] == ["failed"] * 2
    assert all(gate.value is not None and gate.value < 0 for gate in gates)


def test_skill_falls_as_the_prediction_is_corrupted(clips: torch.Tensor) -> None:
    def corrupted(much: float) -> Foresight:
        return measure_foresight(knowing(clips, lambda z: z + much * noise(z)), clips)

    ladder = [corrupted(much) for much in (0, 0.05, 0.2, 0.8)]
    for better, worse in pairwise(ladder):
        for baseline in BASELINES:
            for context in CONTEXTS:
                assert value(better, baseline, context) > value(worse, baseline, context)


def test_the_gate_takes_the_worst_context_and_tells_its_interval(clips: torch.Tensor) -> None:
    def late(latents: torch.Tensor) -> torch.Tensor:
        return latents + (0.3 if latents.shape[1] == 4 else 0.0)  # context 8 alone

    found = many(measure_foresight(knowing(clips, late), clips))
    for gate, baseline in zip(foresight_gates(found), ("mean", "copy"), strict=True):
        skill = found.skill[baseline]["8"]
        assert skill is not None
        assert gate.value == skill.value < 1
        assert skill.low < skill.value < skill.high
        assert str(gate.note).startswith(f"at context 8; 95 %: {skill.low:.3f} to")
        assert f"median {value(found, 'median', 8):.3f}" in str(gate.note)


def test_constants_are_fitted_to_other_clips_than_those_scored(clips: torch.Tensor) -> None:
    adapter = Predictor(copied)
    one = measure_foresight(adapter, clips)
    other = measure_foresight(adapter, torch.cat([clips[:6], clips[6:] // 4]))
    changed = measure_foresight(adapter, torch.cat([255 - clips[:6], clips[6:]]))
    assert one.skill["copy"] == other.skill["copy"]
    for baseline in ("mean", "median"):
        assert value(one, baseline, 4) < value(other, baseline, 4)  # constants that fit worse
        assert value(one, baseline, 4) != value(changed, baseline, 4)


def test_batches_change_no_skill(clips: torch.Tensor) -> None:
    adapter = knowing(clips, lambda z: 0.5 * z)
    one, other = (measure_foresight(adapter, clips, batch=size) for size in (1, 16))
    for baseline in BASELINES:
        for context in CONTEXTS:
            assert value(one, baseline, context) == pytest.approx(value(other, baseline, context))


def test_latents_that_never_differ_have_no_skill_to_measure(clips: torch.Tensor) -> None:
    def same(video: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(video), video.shape[1] // 2, 8, 8, 4)

    def foretold(context: torch.Tensor, horizon: int) -> torch.Tensor:
        return torch.ones(len(context), horizon // 2, 8, 8, 4)

    found = measure_foresight(Predictor(foretold, same), clips)
    assert found.skill["copy"] == dict.fromkeys(map(str, range(2, 16, 2)))
    gates = foresight_gates(many(found))
    assert {gate.status for gate in gates} == {"not measured"}
    assert "never differ" in str(gates[0].reason)


def test_a_context_that_is_not_legal_leaves_the_gates_unmeasured(clips: torch.Tensor) -> None:
    found = measure_foresight(Predictor(copied, min_context=6), clips)
    assert found.illegal == (4,)
    assert "no context of 4 frames" in str(foresight_gates(many(found))[0].reason)


def test_predictions_that_break_the_contract_are_refused(clips: torch.Tensor) -> None:
    short = Predictor(lambda context, horizon: copied(context, horizon)[:, 1:])
    with pytest.raises(ContractError, match="wrong shape"):
        measure_foresight(short, clips)
    broken = Predictor(lambda context, horizon: copied(context, horizon) * torch.nan)
    with pytest.raises(ContractError, match="not finite"):
        measure_foresight(broken, clips)


def made_motion(count: int = 90) -> MotionClips:
    """A bright square on grey whose corner walks; position and velocity are told exactly."""
    rng = np.random.default_rng(0)
    rgb = np.full((count, 16, 64, 64, 3), 100, np.uint8)
    position = np.empty((count, 8, 2), np.float32)
    for clip in range(count):
        start, pace = rng.integers(8, 40, 2), rng.integers(-1, 2, 2)
        for frame in range(16):
            x, y = np.clip(start + pace * (frame // 2), 0, 52)
            rgb[clip, frame, y : y + 12, x : x + 12] = 250
            position[clip, frame // 2] = (x + 6) / 64, (y + 6) / 64
    velocity = np.full_like(position, np.nan)
    velocity[:, 1:] = np.diff(position, axis=1)
    return MotionClips(*(torch.from_numpy(each) for each in (rgb, position, velocity)))


def where(video: torch.Tensor) -> torch.Tensor:
    """Latents that hold brightness by column and row, and how it differs from a step ago."""
    bright = video.mean(dim=2).unflatten(1, (-1, 2)).mean(dim=2)
    grid = torch.linspace(0, 1, 64)
    held = torch.stack([(bright * grid).mean((2, 3)), (bright * grid[:, None]).mean((2, 3))], -1)
    held = torch.cat([held, held.diff(dim=1, prepend=held[:, :1])], dim=-1)
    return held[:, :, None, None].expand(-1, -1, 8, 8, -1)


def blind(video: torch.Tensor) -> torch.Tensor:
    """Latents that hold noise."""
    return noise(torch.empty(len(video), video.shape[1] // 2, 8, 8, 4), seed=len(video))


def enough(measured: Features) -> Features:
    pooled = {who: replace(each, clips=1024) for who, each in measured.pooled.items()}
    return replace(measured, pooled=pooled, motion_clips=768)


def test_who_holds_position_and_velocity_opens_the_gates_and_who_is_blind_does_not(
    clips: torch.Tensor,
) -> None:
    motion = made_motion()
    sees, none = Predictor(copied, where), Predictor(copied, blind)
    found = measure_features({"model": sees, "twin": none}, clips, motion, batch=90)
    for quantity in ("position", "velocity"):
        by = found.readouts[quantity]
        assert by["model"].r2 > 0.95
        assert by["twin"].r2 < 0.1
        assert by["model"].r2 == pytest.approx(np.mean(by["model"].columns))
    gates = feature_gates(enough(found))
    assert [gate.status for gate in gates[1:]] == ["passed"] * 2
    assert all(gate.status == "not measured" for gate in feature_gates(found))
    worse = measure_features({"model": none, "twin": none}, clips, motion, batch=90)
    assert [gate.status for gate in feature_gates(enough(worse))] == ["failed"] * 3
    assert worse.readouts["position"][PIXELS] == found.readouts["position"][PIXELS]


def test_the_rank_is_that_of_the_means_over_tokens(clips: torch.Tensor) -> None:
    motion = made_motion(30)
    found = measure_features({"model": Predictor(copied)}, clips, motion, batch=5)
    expected = rank_me(pooled_patches(to_video(clips)).mean(dim=(1, 2, 3)))
    assert found.pooled["model"].clips == 12
    assert found.pooled["model"].rank == pytest.approx(expected, rel=1e-4)
    gates = feature_gates(enough(found))
    assert {(gate.status, gate.reason) for gate in gates} == {("not measured", "no twin was asked")}


def test_the_layer_is_the_best_of_the_training_part_whatever_the_test_part_says() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(30, 8, 2, generator=generator)
    spoilt = torch.randn(30, 8, 5, generator=generator)
    fair = torch.cat([truth + 0.5 * noise(truth), spoilt[..., :3]], dim=-1)
    spoilt[20:, :, :2] = truth[20:]  # perfect on the test part, and there alone
    found = read_out({"spoilt": spoilt, "fair": fair}, truth)
    assert found.layer == "fair"
    assert found.r2 > 0.5
    poisoned = truth.clone()
    poisoned[20:] = truth[20:].flip(0)
    again = read_out({"spoilt": spoilt, "fair": fair}, poisoned)
    assert (again.layer, again.penalty) == (found.layer, found.penalty)


def _read(r2: float) -> Readout:
    return Readout(r2, (r2, r2), "block3", (0.1, 0.1))


def _features(model: float, twin: float, pixels: float, rank: float = 30.0) -> Features:
    pooled = {"model": Pooled(1024, rank, 1.0), "twin": Pooled(1024, 10.0, 1.0)}
    by = {"model": _read(model), "twin": _read(twin), PIXELS: _read(pixels)}
    return Features(pooled, 768, {"position": by, "velocity": by})


def test_feature_gates_open_at_their_bounds() -> None:
    def statuses(measured: Features) -> list[str]:
        return [gate.status for gate in feature_gates(measured)]

    assert statuses(_features(0.5, 0.2, 0.4)) == ["passed"] * 3
    assert statuses(_features(0.49, 0.2, 0.4, rank=29.9)) == ["failed"] * 3
    assert statuses(_features(0.5, 0.1, 0.51)) == ["passed", "failed", "failed"]
    gate = feature_gates(_features(0.5, 0.1, 0.45))[1]
    assert gate.threshold == pytest.approx(0.45)
    assert "at block3; pixels 0.450, twin 0.100" in str(gate.note)
    flat = _features(0.5, 0.1, 0.4)
    collapsed = replace(flat, pooled=flat.pooled | {"twin": Pooled(1024, 0.0, 0.0)})
    assert feature_gates(collapsed)[0].reason == "the twin's never differ"


def test_too_few_motion_clips_are_refused_with_the_option(clips: torch.Tensor) -> None:
    with pytest.raises(UsageError, match="--motion N"):
        measure_features({"model": Predictor(copied)}, clips, made_motion(11))


def test_surprise_is_measured_as_the_card_says_unless_another_is_named() -> None:
    predictor, generator = Predictor(copied).card, Surprised(constant).card
    assert chosen_operator(predictor) == "latent_error"
    assert chosen_operator(predictor, "latent_error_fullclip") == "latent_error_fullclip"
    assert chosen_operator(generator) == "denoising_error"
    both = predictor.model_copy(update={"operators": ("latent_error", "denoising_error")})
    assert chosen_operator(both) == "denoising_error"
    with pytest.raises(UsageError, match="no such operator") as caught:
        chosen_operator(predictor, "denoising_error")
    assert "latent_error, latent_error_fullclip" in str(caught.value)
    with pytest.raises(UsageError, match="none asked for"):
        chosen_operator(predictor.model_copy(update={"operators": ("sample_distance",)}))
    with pytest.raises(UsageError, match="no such operator"):
        chosen_operator(Tiny("tiny").card, "latent_error")


def test_predictors_may_train_a_little_slower() -> None:
    assert mfu_gate(0.25, "", bound=PREDICTORS_MFU).status == "passed"
    assert mfu_gate(0.24, "", bound=PREDICTORS_MFU).status == "failed"
    assert mfu_gate(0.25, "").status == "failed"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A folder of configurations with the predictors ``tiny`` and ``tiny_random``."""
    folder = tmp_path / "conf" / "adapter"
    folder.mkdir(parents=True)
    for name in ("tiny", "tiny_random"):
        (folder / f"{name}.yaml").write_text(
            f"name: {name}\nsummary: Copies latents.\nfamily: predictive\n"
            "_target_: gate_adapters.Copies\nweights: null\nsize: s\n"
        )
    return folder.parent


@pytest.mark.slow
@pytest.mark.usefixtures("clean_process")
def test_the_command_measures_the_gates_of_a_predictor(
    tmp_path: Path, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained_run(tmp_path / "run", mfu=0.26)
    options = "--pool 6 --motion 15 --quads 2 --device cpu --workers 1"
    assert main([str(run), *options.split(), "--config-dir", str(conf)]) == 0
    report = read_report(run)
    assert [gate.name for gate in report.gates] == [
        "prediction skill against the mean",
        "prediction skill against a copy",
        "RankMe of pooled latents",
        "position read out",
        "velocity read out",
        "presence, occluded",
        "presence, visible",
        "presence of the twin",
        "MFU of training",
    ]
    assert report.gates[-1].status == "passed"
    assert report.gates[-1].threshold == 0.25
    assert report.measured["foresight"]["skill"]["copy"]["12"]["value"] == 0
    assert set(report.measured["features"]["readouts"]["velocity"]) == {"model", "twin", PIXELS}
    assert report.settings["operator"] == "latent_error"
    assert report.settings["pool"] == 6
    assert "samples" not in report.settings
    assert set(report.seconds) == {"foresight", "features", "presence"}
    assert report.rollouts_sha256 is None
    assert not (run / "rollouts.npz").exists()
    assert "prediction skill against a copy" in capsys.readouterr().out
    json.loads((run / "gates.json").read_text())


@pytest.mark.usefixtures("clean_process")
def test_an_operator_that_the_adapter_lacks_is_refused_before_anything_is_measured(
    tmp_path: Path, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained_run(tmp_path / "run")
    asked = ["--operator", "denoising_error", "--config-dir", str(conf), "--device", "cpu"]
    assert main([str(run), *asked]) == 2
    assert "no such operator" in capsys.readouterr().err
    assert not (run / "gates.json").exists()


@pytest.mark.slow
def test_an_untrained_jepa_can_be_asked_everything(clips: torch.Tensor) -> None:
    adapter = JEPAAdapter(name="jepa_random", weights="random", size="xs")
    found = measure_foresight(adapter, clips[:4], batch=4)
    assert value(found, "copy", 4) < 0.4
    motion = single_object_clips(12, workers=1)
    features = measure_features({"model": adapter, "twin": adapter}, clips[:4], motion)
    assert features.readouts["position"]["model"].layer in adapter.layers
    assert features.readouts["velocity"]["model"] == features.readouts["velocity"]["twin"]
    assert features.pooled["model"] == features.pooled["twin"]
