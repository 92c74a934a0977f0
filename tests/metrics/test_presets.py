"""Presets piece by piece, against their formulas written out and, where it is installed, cd-fvd."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from worldbench.errors import UsageError
from worldbench.metrics.frame_rule import FrameRule
from worldbench.metrics.framing import framed
from worldbench.metrics.frechet import frechet_distance
from worldbench.metrics.presets import EXTRACTORS, PRESETS, Framing, preset_of


def levels(*shape: int, seed: int = 0) -> Tensor:
    """Pixels as decoders give them: whole levels of 255."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def framing(name: str) -> Framing:
    found = PRESETS[name].framing
    assert found is not None
    return found


@pytest.mark.parametrize("size", [(64, 64), (120, 90), (224, 224), (300, 480)])
def test_styleganv_stretches_without_antialiasing(size):
    video = levels(1, 3, 3, *size).float() / 255
    frames = functional.interpolate(video[0], (224, 224), mode="bilinear", align_corners=False)
    assert torch.equal(framed(video, framing("styleganv"))[0], frames)


@pytest.mark.parametrize("size", [(64, 64), (64, 97), (97, 64), (300, 480)])
def test_common_metrics_covers_and_crops_the_centre(size):
    video = levels(1, 2, 3, *size).float() / 255
    height, width = size
    scale = 224 / min(size)
    cover = (224, math.ceil(width * scale)) if height < width else (math.ceil(height * scale), 224)
    frames = functional.interpolate(video[0], cover, mode="bilinear", align_corners=False)
    top, left = (cover[0] - 224) // 2, (cover[1] - 224) // 2
    expected = frames[..., top : top + 224, left : left + 224]
    assert torch.equal(framed(video, framing("common_metrics"))[0], expected)


@pytest.mark.parametrize("size", [(64, 64), (96, 130)])
def test_cdfvd_loads_at_256_truncates_to_bytes_and_stretches(size):
    video = levels(1, 2, 3, *size).float() / 255
    scale = 256 / min(size)
    cover = (256, math.ceil(size[1] * scale)) if size[0] < size[1] else (256, 256)
    loaded = functional.interpolate(video[0], cover, mode="bilinear", antialias=True)
    left = (cover[1] - 256) // 2
    stored = (loaded[..., left : left + 256] * 255).byte().float()
    expected = functional.interpolate(stored, (224, 224), mode="bilinear", align_corners=False)
    found = framed(video, framing("cdfvd_i3d"))[0]
    torch.testing.assert_close(found, expected / 255, atol=1e-6, rtol=0)


def test_cdfvd_reaches_the_network_as_its_package_has_it():
    package = pytest.importorskip("cdfvd.third_party.i3d.utils")
    stored = levels(2, 3, 256, 256, 3)  # what its loader keeps
    expected = package.preprocess_i3d(stored.numpy())
    video = stored.permute(0, 1, 4, 2, 3).float() / 255
    found = 2 * framed(video, framing("cdfvd_i3d")).transpose(1, 2) - 1
    # Whole levels survive the truncation but for those that a product in float32 rounds down.
    assert float((found - expected).abs().max()) < 2.01 / 255
    assert float((found - expected).abs().median()) < 1e-6


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 16), (40, 50, 64)])
def test_covariances_over_n_give_the_distance_of_cd_fvd(n, m, d):
    statistics = pytest.importorskip("cdfvd.utils.metric_utils").FeatureStats
    from scipy.linalg import sqrtm

    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(n, d, generator=generator), torch.randn(m, d, generator=generator) + 0.5
    found = []
    for features in (x, y):
        kept = statistics(capture_mean_cov=True)
        kept.append(features.numpy())
        found.append(kept.get_mean_cov())
    (mean_x, cov_x), (mean_y, cov_y) = found
    root = np.real(sqrtm(cov_y @ cov_x))
    expected = np.square(mean_x - mean_y).sum() + np.trace(cov_x + cov_y - 2 * root)
    # sqrtm of a singular product is only good to half of the digits.
    relative = 1e-9 if min(n, m) > d else 1e-5
    assert frechet_distance(x, y, ddof=0) == pytest.approx(float(expected), rel=relative)


def test_torchmetrics_has_the_same_distance_of_moments():
    fid = pytest.importorskip("torchmetrics.image.fid")
    generator = torch.Generator().manual_seed(2)
    x, y = (torch.randn(200, 12, generator=generator).double() for _ in range(2))
    moments = [side for z in (x, y + 0.3) for side in (z.mean(dim=0), torch.cov(z.T))]
    expected = float(fid._compute_fid(*moments))
    assert frechet_distance(x, y + 0.3) == pytest.approx(expected, rel=1e-9)


def test_every_preset_says_where_it_comes_from_and_fits_an_extractor():
    for name, preset in PRESETS.items():
        assert preset.name == name
        assert preset.source
        assert preset.extractor in EXTRACTORS
        assert preset_of(name, preset.extractor) is preset
    assert preset_of(None, "i3d") is PRESETS["styleganv"]
    assert preset_of(None, "videomae") is None


@pytest.mark.parametrize(
    ("preset", "extractor", "message"),
    [
        ("fvd", "i3d", "unknown preset 'fvd'"),
        ("jedi", "i3d", "the preset jedi is not made for i3d"),
        (None, "i2d", r"unknown extractor 'i2d' \(did you mean 'i3d'\?\)"),
    ],
)
def test_names_that_do_not_fit_are_refused(preset, extractor, message):
    with pytest.raises(UsageError, match=message):
        preset_of(preset, extractor)


@pytest.mark.parametrize(
    ("rule", "words", "good", "bad"),
    [
        (FrameRule(least=9), "9 frames or more", 9, 8),
        (FrameRule(least=16, most=16), "exactly 16 frames", 16, 17),
        (FrameRule(least=2, multiple=2), "2 frames or more, a multiple of 2", 64, 15),
        (FrameRule(least=2, most=8), "2 to 8 frames", 8, 9),
    ],
)
def test_rules_of_frames_say_what_they_accept(rule, words, good, bad):
    assert rule.words == words
    rule.check("net", good)
    with pytest.raises(UsageError, match="net does not take clips of this length") as caught:
        rule.check("net", bad)
    assert words in str(caught.value)
