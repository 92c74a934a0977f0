"""The map itself, on latents and features that need no model."""

import numpy as np
import pytest
import torch
from torch import Tensor

from worldbench.adapter import Latents
from worldbench.errors import DataError
from worldbench.metrics.card import ExtractorCard
from worldbench.suites.video_distance_readout import (
    PENALTIES,
    fit_readout,
    pooled,
    readout_label,
)

CLUSTERS = [f"video{i // 2}" for i in range(120)]  # two clips of each of 60 videos


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def problem(noise: float) -> tuple[Tensor, Tensor]:
    """Latents of unequal scale and position, and features that are linear in them plus noise."""
    x = normal(120, 10) * torch.logspace(-2, 2, 10) + 5
    y = (x - 5) / torch.logspace(-2, 2, 10) @ normal(10, 3, seed=1) + 7
    return x, y + noise * normal(120, 3, seed=2)


def test_pooling_is_the_mean_and_the_mean_change_of_each_token() -> None:
    tokens = normal(3, 4, 2, 5, 6).float()
    expected = np.stack(
        [
            np.concatenate(
                [
                    [np.mean(clip[..., k]) for k in range(6)],
                    [np.mean(np.abs(clip[1:, ..., k] - clip[:-1, ..., k])) for k in range(6)],
                ]
            )
            for clip in tokens.double().numpy()
        ]
    )
    result = pooled(Latents(tokens, 2))
    assert result.dtype == torch.float64
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_what_moves_within_the_grid_is_seen_though_its_mean_stands_still() -> None:
    still = torch.zeros(1, 4, 3, 3, 1)
    still[:, :, 1, 1] = 1
    moving = torch.zeros(1, 4, 3, 3, 1)
    for step, place in enumerate([(0, 0), (1, 1), (2, 2), (1, 0)]):
        moving[:, step, *place] = 1
    mean, change = (pooled(Latents(moving, 2)) - pooled(Latents(still, 2)))[0].tolist()
    assert mean == pytest.approx(0, abs=1e-7)
    assert change == pytest.approx(2 / 9)


def test_a_single_latent_step_does_not_change() -> None:
    assert pooled(Latents(torch.ones(2, 1, 2, 2, 3), 8)).tolist() == [[1, 1, 1, 0, 0, 0]] * 2


def test_a_linear_relation_is_found_whatever_the_scale_of_latents() -> None:
    x, y = problem(noise=0)
    readout = fit_readout(x, y, CLUSTERS)
    assert readout.r2 > 0.98  # all but what the weakest penalty shrinks
    assert readout.penalty == PENALTIES[-1]
    for found, true in zip(readout(x).T, y.T, strict=True):
        assert torch.corrcoef(torch.stack([found, true]))[0, 1] > 0.999


def test_the_map_solves_the_normal_equations_of_its_penalty() -> None:
    x, y = problem(noise=0.5)
    readout = fit_readout(x, y, CLUSTERS)
    z = ((x - x.mean(0)) / x.std(0, correction=0)).numpy()
    penalty = readout.penalty * (z**2).sum() * np.eye(10)
    weights = np.linalg.solve(z.T @ z + penalty, z.T @ (y - y.mean(0)).numpy())
    np.testing.assert_allclose(readout(x), z @ weights + y.mean(0).numpy(), atol=1e-9)


def test_the_share_explained_is_measured_on_videos_that_were_not_fitted_on() -> None:
    x, y = problem(noise=0.5)
    readout = fit_readout(x, y, CLUSTERS)
    variance = float((y - y.mean(0)).square().sum(1).mean())
    assert readout.r2 == pytest.approx(1 - 3 * 0.25 / variance, abs=0.05)
    assert (readout.clips, readout.clusters) == (120, 60)
    # Each pair of clips shares a code of its own: a fold that split pairs would find it.
    own = normal(60, 40, seed=3).repeat_interleave(2, dim=0)
    assert fit_readout(own, normal(60, 3, seed=4).repeat_interleave(2, dim=0), CLUSTERS).r2 < 0.1


def test_latents_that_tell_nothing_are_shrunk_away() -> None:
    readout = fit_readout(normal(120, 80), normal(120, 3, seed=5) + 9, CLUSTERS)
    assert readout.penalty >= 0.1
    assert readout.r2 < 0.1
    assert float((readout(normal(120, 80, seed=6)) - 9).abs().max()) < 1


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_column_that_was_constant_in_training_is_never_read(value: float) -> None:
    x, y = problem(noise=0.1)
    noise = 1e-7 * value * normal(120, 1, seed=7)
    with_constant = torch.cat([x, torch.full((120, 1), value) + noise], dim=1)
    readout = fit_readout(with_constant, y, CLUSTERS)
    moved = with_constant.clone()
    moved[:, -1] += 1000
    assert torch.equal(readout(moved), readout(with_constant))
    constant = fit_readout(torch.full((120, 2), value), y, CLUSTERS)
    torch.testing.assert_close(constant(torch.rand(1, 2)), y.mean(0, keepdim=True))
    assert constant.r2 == pytest.approx(0, abs=1e-12)


def test_the_order_of_clips_does_not_matter() -> None:
    x, y = problem(noise=0.5)
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0)).tolist()
    one = fit_readout(x, y, CLUSTERS)
    other = fit_readout(x[order], y[order], [CLUSTERS[i] for i in order])
    assert one.penalty == other.penalty
    assert one.r2 == pytest.approx(other.r2)
    torch.testing.assert_close(one(x), other(x))


def test_clips_of_a_single_video_are_refused() -> None:
    with pytest.raises(DataError, match="too few training videos") as caught:
        fit_readout(*problem(noise=0), ["one"] * 120)
    assert "data.train=null" in str(caught.value)


def test_the_name_tells_read_outs_from_the_extractor() -> None:
    card = ExtractorCard("effnetlite0-dt", "1", 64, "words", projection="pca64 of clips")
    assert readout_label(card) == "effnetlite0-dt-pca64-readout1"
