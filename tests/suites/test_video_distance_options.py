"""Options beyond the plain protocol; fvd and jedi. A cheap extractor stands in I3D's place."""

from pathlib import Path

import pytest
import torch
from i3d_files import random_state
from safetensors.torch import save_file
from torch import Tensor

from worldbench.adapter import Latents
from worldbench.adapters.linear_flow import LinearFlow
from worldbench.adapters.real_future import RealFuture
from worldbench.adapters.still import CopyLast
from worldbench.batches import clip_batches
from worldbench.compose import compose, instantiate
from worldbench.data.real import VideoData
from worldbench.errors import UsageError
from worldbench.metrics import frechet_distance, jedi_distance
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.frame_rule import FrameRule
from worldbench.schema import AdapterCard, MetricResult
from worldbench.suite import Batch, Setting, Suite, Summary
from worldbench.suites import video_distance_space
from worldbench.suites.fvd import FVD
from worldbench.suites.jedi import JEDi
from worldbench.suites.video_distance import VideoDistance
from worldbench.suites.video_distance_options import Options

CPU = torch.device("cpu")
SETTING = Setting(CPU, batch_size=8)
SIZES = {"context": 2, "horizon": 6}
CARD = ExtractorCard("colours", "c" * 64, 6, "mean and mean |difference| of colours")


class Colours:
    """Mean colour of quarters of the picture, less what all share, and its change."""

    card, rule, revision = CARD, FrameRule(least=2), "1"

    def __call__(self, video: Tensor) -> Tensor:
        frames = video.double()[..., :32, :32].mean(dim=(3, 4))
        return torch.cat([frames.mean(dim=1), frames.diff(dim=1).abs().mean(dim=1)], dim=1)


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    place = video_distance_space
    monkeypatch.setattr(place, "weighted_card", lambda *_: (CARD, Colours.rule))
    monkeypatch.setattr(place, "weighted_extractor", lambda *_: Colours())


@pytest.fixture(scope="module")
def data(small_data: Path, small_train: Path) -> VideoData:
    train = {"root": str(small_train)}
    return VideoData(
        "small",
        str(small_data),
        "class_folders",
        train=train,
        frames=8,
        fps=15.0,
        size=(64, 64),
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "i3d.safetensors"
    save_file(random_state(), path)
    return str(path)


class Jitters(CopyLast):
    """Copies with a brightness that the seed decides; it encodes too, so read-outs can see it."""

    def __init__(self) -> None:
        super().__init__("jitters")
        fields = self.card.model_dump() | {"capabilities": ("generates", "encodes")}
        self.card = AdapterCard(**fields)

    def generate(self, context, horizon, *, samples, seeds, actions=None, prompt=None):  # type: ignore[no-untyped-def]
        plain = super().generate(context, horizon, samples=samples, seeds=seeds)
        for item, seed in zip(plain, seeds, strict=True):
            generator = torch.Generator().manual_seed(seed)
            item += 0.1 * torch.randn(samples, 1, 1, 1, 1, generator=generator)
        return plain.clamp(0, 1)

    def encode(self, video, *, layer=None, noise=None, seed=0):  # type: ignore[no-untyped-def]
        grid = video.unfold(3, 16, 16).unfold(4, 16, 16).mean(dim=(-1, -2))
        return Latents(grid.permute(0, 1, 3, 4, 2), temporal_stride=1)


def measure(suite: VideoDistance, data: VideoData, adapter: object) -> Summary:
    trials = suite.trials(data)
    (clips,) = clip_batches(data, [[t.clips[0] for t in trials]], device=CPU)
    scorer = suite.scorer(data, SETTING)
    return scorer.summarise(scorer.score(adapter, Batch(tuple(trials), clips, 0)))  # type: ignore[arg-type]


def found(summary: Summary, name: str, **factors: object) -> MetricResult:
    wanted = {"extractor": "colours", **factors}
    (result,) = [m for m in summary.metrics if m.name == name and m.factors == wanted]
    return result


def i3d(**options: object) -> VideoDistance:
    return VideoDistance(**SIZES, extractor="i3d", **options)  # type: ignore[arg-type]


def test_options_that_are_off_leave_no_trace(data):
    spelled = VideoDistance(components=4, **Options().__dict__)
    plain = VideoDistance(components=4)
    assert plain.protocol(data) == spelled.protocol(data)
    assert set(plain.protocol(data)) == {"context", "horizon", "samples", "clips", "extractor"}
    names = ("frechet", "frechet_inf", "kernel", "psnr", "ssim")
    assert plain.metric_versions == dict.fromkeys(names, "1")


@pytest.mark.usefixtures("colours")
def test_options_that_are_on_stand_in_the_protocol_and_paths_do_not(data):
    suite = i3d(weights="/secret/i3d.pt", whole=True, curve=True, diversity=True, samples=2)
    protocol = suite.protocol(data)
    assert protocol["whole"] is True
    assert protocol["curve"] is True
    assert protocol["preset"] == "styleganv"
    assert protocol["extractor"]["name"] == "colours"
    assert "/secret" not in str(protocol)
    assert suite.metric_versions["diversity"] == "1"


@pytest.mark.usefixtures("colours")
def test_distances_are_those_of_the_extractor_under_the_preset(data):
    suite = i3d()
    summary = measure(suite, data, RealFuture())
    rollouts, reference = (Colours()(data_clips(data, which)[:, 2:8]) for which in halves_of(data))
    expected = frechet_distance(rollouts, reference, ddof=0)
    assert found(summary, "frechet").value == pytest.approx(expected, rel=1e-9)
    whole = measure(i3d(whole=True), data, RealFuture())
    rollouts, reference = (Colours()(data_clips(data, which)) for which in halves_of(data))
    expected = frechet_distance(rollouts, reference, ddof=0)
    assert found(whole, "frechet").value == pytest.approx(expected, rel=1e-9)


def halves_of(data: VideoData) -> tuple[list[str], list[str]]:
    from worldbench.suites.video_distance import halves

    one, other = halves(data.clips())
    return [clip.id for clip in one], [clip.id for clip in other]


def data_clips(data: VideoData, ids: list[str]) -> Tensor:
    (clips,) = clip_batches(data, [ids], device=CPU)
    return clips


@pytest.mark.usefixtures("colours")
def test_ceiling_and_floor_are_what_true_and_still_futures_score(data):
    suite = i3d(ceiling=True, samples=2)
    summary = measure(suite, data, Jitters())
    for path, adapter in (("ceiling", RealFuture()), ("floor", CopyLast())):
        alone = measure(i3d(), data, adapter)
        for name in ("frechet", "kernel"):
            expected = found(alone, name).value
            assert found(summary, name, path=path).value == pytest.approx(expected, rel=1e-9)
    assert not any(m.headline for m in summary.metrics if "path" in m.factors)


@pytest.mark.usefixtures("colours")
def test_diversity_tells_a_model_that_varies_from_one_that_does_not(data):
    options = {"diversity": True, "samples": 4}
    still = found(measure(i3d(**options), data, CopyLast()), "diversity")
    jittery = found(measure(i3d(**options), data, Jitters()), "diversity")
    assert still.value == pytest.approx(0, abs=1e-12)
    assert jittery.value > 0.1
    assert (jittery.n, jittery.headline) == (16, False)


@pytest.mark.usefixtures("colours")
def test_the_curve_ends_at_the_plain_value_and_classes_split_it(data):
    summary = measure(i3d(curve=True, by_class=True), data, LinearFlow())
    plain = found(summary, "frechet").value
    assert found(summary, "frechet", clips=16).value == pytest.approx(plain, rel=1e-9)
    sides = {m.factors["label"] for m in summary.metrics if "label" in m.factors}
    assert sides == {"left", "right"}
    assert sum(found(summary, "kernel", label=side).n for side in sides) == 16


@pytest.mark.usefixtures("colours")
def test_windows_are_samples_of_one_cluster(data):
    suite = i3d(window=4, every=1)
    summary = measure(suite, data, LinearFlow())
    kernel = found(summary, "kernel")
    assert (kernel.n, kernel.clusters) == (16, 8)
    psi = [row["kernel.influence"] for row in summary.rows]
    assert len(psi) == 32
    assert abs(sum(psi)) < 1e-9 * max(map(abs, psi))
    plain = measure(i3d(window=6), data, LinearFlow())
    assert found(plain, "kernel").value == pytest.approx(
        found(measure(i3d(), data, LinearFlow()), "kernel").value, rel=1e-9
    )


def test_windows_slide_in_the_offline_features_too(data):
    suite = VideoDistance(**SIZES, components=4, window=3, every=3)  # type: ignore[arg-type]
    summary = measure(suite, data, CopyLast())
    label = "effnetlite0-dt-pca4"
    (kernel,) = [m for m in summary.metrics if m.name == "kernel"]
    assert (kernel.factors["extractor"], kernel.n) == (label, 16)
    assert kernel.value is not None


@pytest.mark.usefixtures("colours")
def test_temporal_measures_stand_against_the_reference(data):
    summary = measure(i3d(temporal=True), data, CopyLast())
    motion = {str(m.factors): m.value for m in summary.metrics if m.name == "motion"}
    assert motion[str({"of": "rollouts"})] == pytest.approx(0, abs=1e-9)
    real = motion[str({"of": "reference"})]
    assert real > 0.5
    assert motion[str({"against": "real"})] == pytest.approx(-real)


@pytest.mark.usefixtures("colours")
def test_generators_that_encode_are_read_like_predictors_beside(data):
    summary = measure(i3d(readout=True), data, Jitters())
    read = [m for m in summary.metrics if m.factors.get("extractor") == "colours-readout1"]
    assert {m.name for m in read} == {"frechet", "frechet_inf", "kernel", "readout_r2"}
    assert {m.factors.get("path") for m in read if m.name == "kernel"} == {None, "ceiling", "floor"}
    assert found(summary, "kernel").headline
    plain = measure(i3d(readout=True), data, CopyLast())  # it does not encode
    assert not any("readout" in str(m.factors.get("extractor")) for m in plain.metrics)


@pytest.mark.usefixtures("colours")
def test_suite_fvd_is_the_published_protocol(data, weights):
    suite = FVD(**SIZES, weights=weights)  # type: ignore[arg-type]
    assert isinstance(suite, Suite)
    assert (suite.name, suite.options.whole, suite.options.recipe.ddof) == ("fvd", True, 0)
    summary = measure(suite, data, CopyLast())
    assert [m.name for m in summary.metrics[:3]] == ["frechet_inf", "frechet", "kernel"]
    assert found(summary, "frechet", path="ceiling").value is not None


@pytest.mark.usefixtures("colours")
def test_suite_jedi_ranks_the_unbiased_estimate(data, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vjepa2", "hidden_size": 6}')
    (tmp_path / "model.safetensors").write_bytes(b"x")
    suite = JEDi(**SIZES, weights=str(tmp_path))  # type: ignore[arg-type]
    assert set(suite.metric_versions) == {"jedi", "jedi_unbiased", "psnr", "ssim"}
    summary = measure(suite, data, CopyLast())
    context = data_clips(data, halves_of(data)[0])[:, :2]
    x = Colours()(torch.cat([context, context[:, -1:].expand(-1, 6, -1, -1, -1)], dim=1))
    y = Colours()(data_clips(data, halves_of(data)[1]))
    assert found(summary, "jedi").value == pytest.approx(jedi_distance(x, y), rel=1e-9)
    ranked = [m.name for m in summary.metrics if m.headline]
    assert ranked == ["jedi_unbiased"]
    assert any("jedi_unbiased.influence" in row for row in summary.rows)


@pytest.mark.parametrize(("name", "what"), [("fvd", "I3D needs"), ("jedi", "vjepa2 needs")])
def test_suites_that_need_weights_say_so(name, what):
    config = compose(["adapter=copy_last", f"suite={name}"])
    with pytest.raises(UsageError, match=what) as caught:
        instantiate("suite", config.suite)
    assert "suite.weights=" in str(caught.value)


@pytest.mark.parametrize("name", ["video_distance", "fvd", "jedi"])
def test_every_option_stands_in_the_configuration(name):
    config = compose(["adapter=copy_last", f"suite={name}"]).suite
    fixed = {"fvd": {"extractor"}, "jedi": {"extractor", "preset"}}.get(name, set())
    assert set(Options.__dataclass_fields__) - fixed <= set(config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extractor": "i2d"}, "unknown extractor"),
        ({"preset": "fvd", "extractor": "i3d"}, "unknown preset"),
        ({"preset": "styleganv"}, "not made for effnetlite0-dt"),
        ({"windows": 4}, "unknown option of the suite 'windows'"),
        ({"window": 1}, "suite.window is too small"),
        ({"every": 4}, "a window that is not there"),
        ({"window": 13}, "longer than what it slides over"),
        ({"window": 4, "readout": True}, "see a clip whole"),
        ({"diversity": True}, "several rollouts of every context"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        VideoDistance(**options)


@pytest.mark.usefixtures("colours")
def test_clips_that_the_extractor_does_not_take_are_refused_before_anything_runs(data, monkeypatch):
    monkeypatch.setattr(Colours, "rule", FrameRule(least=9))
    with pytest.raises(UsageError, match="9 frames or more"):
        i3d().protocol(data)


def test_windows_slide_over_pixels_alone():
    fields = {"name": "says", "revision": "1", "family": "predictive"}
    card = AdapterCard(**fields, capabilities=("predicts", "encodes"))
    assert VideoDistance().unsupported(card) is None
    assert "windows slide over pixels" in str(VideoDistance(window=4).unsupported(card))


@pytest.mark.slow
def test_suite_fvd_runs_with_a_network_of_its_size(small_data, small_train, weights):
    data = VideoData("small", str(small_data), frames=9, fps=15.0, size=(64, 64))
    suite = FVD(context=2, horizon=7, weights=weights)
    summary = measure(suite, data, CopyLast())
    (frechet,) = [m for m in summary.metrics if m.name == "frechet" and "path" not in m.factors]
    assert frechet.label.startswith("frechet[i3d-styleganv-")
    assert frechet.value > 0
