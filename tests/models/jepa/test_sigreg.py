import numpy as np
import pytest
import torch
from scipy.integrate import quad

from worldbench_models.jepa.sigreg import draw_directions, sigreg


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(n: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, width, generator=seeded(seed))


def oracle(latents: torch.Tensor, directions: torch.Tensor) -> float:
    """N ∫ |φ̂(t) − e^{−t²/2}|² e^{−t²/2} dt over the line, by adaptive quadrature in float64."""
    found = []
    for projected in (latents.double() @ directions.double()).T.numpy():

        def integrand(t: float, x: np.ndarray = projected) -> float:
            normal = np.exp(-t * t / 2)
            return float(abs(np.exp(1j * t * x).mean() - normal) ** 2 * normal)

        found.append(len(projected) * quad(integrand, -8, 8, limit=400, epsabs=1e-10)[0])
    return float(np.mean(found))


@pytest.mark.parametrize("kind", ["gaussian", "collapsed", "wide", "binary", "skewed"])
def test_it_is_the_integral_of_epps_and_pulley(kind: str) -> None:
    x = gaussian(50, 6)
    latents = {
        "gaussian": x,
        "collapsed": torch.zeros_like(x) + x[:1],
        "wide": 1.5 * x,
        "binary": x.sign(),
        "skewed": 1.6 * x.abs() - 1.2,
    }[kind]
    directions = draw_directions(6, 5, seeded(1))
    found = float(sigreg(latents, directions))
    # 17 knots up to 5 miss next to nothing, as long as no latent is very far away.
    assert found == pytest.approx(oracle(latents, directions), rel=2e-3, abs=1e-3)


@pytest.mark.parametrize("n", [64, 1024])
def test_gaussian_latents_have_the_expected_value_whatever_their_number(n: int) -> None:
    """E = ∫ (1 − e^{−t²}) e^{−t²/2} dt = √2π − √(2π/3)."""
    expected = np.sqrt(2 * np.pi) - np.sqrt(2 * np.pi / 3)
    assert expected == pytest.approx(1.06, abs=0.005)
    found = [
        float(sigreg(gaussian(n, 16, seed), draw_directions(16, 64, seeded(seed))))
        for seed in range(40)
    ]
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - expected) < 4 * error
    assert error < 0.05


@pytest.mark.parametrize(
    "kind", ["a point", "far away", "flat", "a line", "too wide", "too narrow"]
)
def test_what_is_not_an_isotropic_gaussian_has_more_the_more_latents_there_are(kind: str) -> None:
    def value(n: int) -> float:
        x = gaussian(n, 16)
        along = 3.4 * torch.rand(n, 1, generator=seeded(2)) - 1.7
        latents = {
            "a point": torch.zeros(n, 16),
            "far away": x + 1,
            "flat": x * (torch.arange(16) < 4),
            "a line": along * torch.ones(16) / 4,
            "too wide": 1.5 * x,
            "too narrow": 0.6 * x,
        }[kind]
        return float(sigreg(latents, draw_directions(16, 64, seeded(1))))

    few, many = value(256), value(1024)
    assert few > 5
    assert many == pytest.approx(4 * few, rel=0.35)


def test_directions_are_unit_vectors_that_prefer_none() -> None:
    directions = draw_directions(8, 20_000, seeded(0))
    assert directions.shape == (8, 20_000)
    torch.testing.assert_close(directions.norm(dim=0), torch.ones(20_000))
    assert float(directions.mean(dim=1).abs().max()) < 4 / (8 * 20_000) ** 0.5
    torch.testing.assert_close(
        directions @ directions.T / 20_000, torch.eye(8) / 8, rtol=0, atol=0.005
    )
    assert torch.equal(directions, draw_directions(8, 20_000, seeded(0)))
    assert not torch.equal(directions, draw_directions(8, 20_000, seeded(1)))


def test_descending_it_makes_a_cloud_gaussian() -> None:
    """From a flat, shifted, two-humped cloud, whose second and fourth moments are wrong."""
    x = gaussian(256, 4)
    cloud = (x.sign() * 0.7 + 0.1 * x) * torch.tensor([1.5, 1.0, 0.4, 0.1]) + 0.8
    cloud.requires_grad_()
    optimiser = torch.optim.Adam([cloud], lr=0.03)
    for step in range(400):
        optimiser.zero_grad()
        torch.autograd.backward(sigreg(cloud, draw_directions(4, 32, seeded(step))))
        optimiser.step()
    final = cloud.detach()
    fresh = draw_directions(4, 200, seeded(9_999))
    projected = final @ fresh
    assert float(projected.mean(dim=0).abs().max()) < 0.15
    assert float((projected.var(dim=0) - 1).abs().max()) < 0.25
    assert float(sigreg(final, fresh)) < 1.06  # closer to a Gaussian than samples of one are
