"""Linear probes and neighbours against scikit-learn and brute force."""

import logging

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from worldbench.probes.lbfgs import minimise
from worldbench.probes.logistic import fit_logistic
from worldbench.probes.neighbours import TEMPERATURE, fit_neighbours
from worldbench.probes.ridge import fit_ridge
from worldbench.probes.spectrum import spectrum_of

PENALTIES = (10.0, 1.0, 0.1, 1e-2, 1e-3)


def features(n: int, d: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draws overlapping classes in correlated columns of uneven size, far from 0."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    turn = torch.randn(d, d, generator=generator) @ torch.diag(torch.logspace(0.5, -1.5, d))
    centres = torch.randn(classes, d, generator=generator)
    x = (0.5 * centres[labels] + torch.randn(n, d, generator=generator)) @ turn
    return x + 3, labels


def standardised(x: Tensor) -> np.ndarray:
    return StandardScaler().fit_transform(x.double().numpy())


@pytest.mark.parametrize(("n", "d"), [(200, 24), (30, 50)])
def test_ridge_is_scikit_learns(n: int, d: int) -> None:
    x, labels = features(n, d, 5)
    heads = fit_ridge(x, labels, 5, PENALTIES)
    for i, penalty in enumerate(PENALTIES):
        theirs = RidgeClassifier(alpha=n * penalty).fit(standardised(x), labels.numpy())
        found = heads.scores(x)[i].numpy()
        np.testing.assert_allclose(found, theirs.decision_function(standardised(x)), atol=1e-6)


@pytest.mark.parametrize(("n", "d"), [(300, 24), (40, 60)])
def test_logistic_regression_is_scikit_learns(n: int, d: int) -> None:
    x, labels = features(n, d, 5)
    test, truth = features(n, d, 5, seed=1)
    scaler = StandardScaler().fit(x.double().numpy())
    heads = fit_logistic(x, labels, 5, PENALTIES, tolerance=1e-8)
    for i, penalty in enumerate(PENALTIES):
        theirs = LogisticRegression(C=1 / (n * penalty), tol=1e-8, max_iter=5000)
        theirs.fit(scaler.transform(x.double().numpy()), labels.numpy())
        given = theirs.predict_proba(scaler.transform(test.double().numpy()))
        found = heads.scores(test)[i].numpy()
        np.testing.assert_allclose(found, given, atol=1e-4)
        ours, other = (float((p.argmax(1) == truth.numpy()).mean()) for p in (found, given))
        assert abs(ours - other) <= 0.005


def test_logistic_regression_in_float32_scores_within_half_a_point_of_scikit_learns() -> None:
    x, labels = features(400, 24, 8)
    test, truth = features(400, 24, 8, seed=1)
    scaler = StandardScaler().fit(x.double().numpy())
    heads = fit_logistic(x, labels, 8, PENALTIES, tolerance=1e-4)
    for i, penalty in enumerate(PENALTIES):
        theirs = LogisticRegression(C=1 / (400 * penalty), max_iter=1000)
        theirs.fit(scaler.transform(x.double().numpy()), labels.numpy())
        given = theirs.score(scaler.transform(test.double().numpy()), truth.numpy())
        found = (heads.scores(test)[i].argmax(dim=1) == truth).double().mean().item()
        assert abs(found - given) <= 0.005


def test_heads_of_a_grid_are_those_fitted_alone() -> None:
    x, labels = features(150, 20, 4)
    ridge = fit_ridge(x, labels, 4, PENALTIES).scores(x)
    logistic = fit_logistic(x, labels, 4, PENALTIES, tolerance=1e-9).scores(x)
    for i, penalty in enumerate(PENALTIES):
        alone = fit_ridge(x, labels, 4, [penalty]).scores(x)[0]
        assert torch.allclose(ridge[i], alone, atol=1e-12)
        alone = fit_logistic(x, labels, 4, [penalty], tolerance=1e-9).scores(x)[0]
        assert (logistic[i] - alone).abs().max() < 1e-6


def test_penalties_come_in_any_order_also_twice() -> None:
    x, labels = features(150, 20, 4)
    mixed = fit_logistic(x, labels, 4, [0.01, 1.0, 0.1, 0.01], tolerance=1e-9).scores(x)
    for scores, penalty in zip(mixed, [0.01, 1.0, 0.1, 0.01], strict=True):
        alone = fit_logistic(x, labels, 4, [penalty], tolerance=1e-9).scores(x)[0]
        assert (scores - alone).abs().max() < 1e-6


def test_gradients_at_the_end_are_no_larger_than_asked_for() -> None:
    x, labels = features(300, 24, 5)
    heads = fit_logistic(x, labels, 5, PENALTIES, tolerance=1e-5)
    along, wanted = heads.spectrum(x), torch.eye(5).double()[labels]
    for i, penalty in enumerate(PENALTIES):
        excess = (heads.scores(x)[i] - wanted) / len(x)
        slope = along.T @ excess + penalty * heads.weights[i]
        scale = (heads.spectrum.variances / 5 + penalty).rsqrt()[:, None]
        assert (scale * slope).abs().max() <= 1.0001e-5


def test_columns_that_never_differ_say_nothing() -> None:
    x, labels = features(60, 6, 3)
    padded = torch.cat([x, torch.full((60, 2), 7.0)], dim=1)
    other = padded.clone()
    other[:, -1] = -5
    for fit in (fit_ridge, fit_logistic):
        heads = fit(padded, labels, 3, [0.1])
        assert torch.allclose(heads.scores(padded), heads.scores(other))
        assert torch.allclose(heads.scores(padded), fit(x, labels, 3, [0.1]).scores(x), atol=1e-6)


def test_the_axes_are_orthonormal_and_carry_all_there_is() -> None:
    for n, d in ((50, 12), (8, 20)):
        x, _ = features(n, d, 2)
        spectrum = spectrum_of(x)
        r = len(spectrum.variances)
        assert r <= min(n, d)
        assert torch.allclose(spectrum.axes.T @ spectrum.axes, torch.eye(r).double(), atol=1e-8)
        along = spectrum(x)
        covariance = along.T @ along / n
        assert torch.allclose(covariance, torch.diag(spectrum.variances), atol=1e-8)


def test_problems_that_end_early_wait_for_no_one() -> None:
    """Quadratics of very different curvature, solved together and one by one."""
    curvatures = torch.tensor([[1.0, 1.0, 1.0], [1.0, 100.0, 1e4], [1e-3, 1.0, 10.0]]).double()
    centres = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double()
    asked: list[int] = []

    def evaluate(place: Tensor, who: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(len(who))
        off = place - centres[who]
        return (curvatures[who] * off.square()).sum(1) / 2, curvatures[who] * off

    found = minimise(evaluate, torch.zeros(3, 3).double(), torch.ones(3, 3).double())
    assert torch.allclose(found, centres, atol=1e-2)
    assert asked[0] == 3
    assert asked[-1] < 3


def bowl(place: Tensor, who: Tensor) -> tuple[Tensor, Tensor]:
    """Quadratics around 1, 2 and 0 that one step along the gradient does not end."""
    off = place - torch.tensor([1.0, 2.0, 0.0]).double()[who, None]
    curvature = torch.tensor([1.0, 3.0]).double()
    return (curvature * off.square()).sum(1) / 2, curvature * off


def test_heads_that_run_out_of_steps_are_told(caplog: pytest.LogCaptureFixture) -> None:
    start, scale = torch.zeros(3, 2).double(), torch.full((3, 2), 0.5).double()
    found = minimise(bowl, start, scale, most=1)
    slope = bowl(found, torch.arange(3))[1]
    (told,) = caplog.messages
    assert told.startswith("2 of 3 heads did not reach the tolerance of 1.0e-06, 0 of them")
    assert told.endswith(f"gradient left is {float((slope * scale).abs().max()):.1e}")
    caplog.clear()
    minimise(bowl, start, scale, most=1, rough=True)
    minimise(bowl, start, scale)
    assert caplog.messages == []


def test_heads_that_cannot_move_are_told(caplog: pytest.LogCaptureFixture) -> None:
    def rising(place: Tensor, who: Tensor) -> tuple[Tensor, Tensor]:
        """Says of every step that it went up, against its own slope."""
        value = place.abs().sum(1)
        return value, torch.where(place == 0, 1.0, -1.0).double()

    start = torch.zeros(2, 2).double()
    assert torch.equal(minimise(rising, start, torch.ones(2, 2).double()), start)
    (told,) = caplog.messages
    assert "2 of 2 heads" in told
    assert "2 of them since no step made them better" in told


def test_a_fit_that_reaches_no_goal_is_told(caplog: pytest.LogCaptureFixture) -> None:
    x, labels = features(60, 6, 3)
    with caplog.at_level(logging.WARNING):
        fit_logistic(x, labels, 3, PENALTIES)
        assert caplog.messages == []
        fit_logistic(x, labels, 3, PENALTIES, tolerance=1e-30)
    assert f"of {len(PENALTIES)} heads did not reach the tolerance of 1.0e-30" in caplog.text


def test_neighbours_are_those_of_brute_force() -> None:
    x, labels = features(70, 9, 4)
    test, _ = features(25, 9, 4, seed=1)
    counts = (1, 5, 20, 200)
    found = fit_neighbours(x, labels, 4, counts).scores(test).numpy()
    bank, centre = x.double().numpy(), x.double().numpy().mean(0)
    unit = lambda v: v / np.linalg.norm(v)  # noqa: E731
    for j, item in enumerate(test.double().numpy()):
        near = np.array([unit(item - centre) @ unit(other - centre) for other in bank])
        order = np.argsort(-near, kind="stable")
        for i, count in enumerate(counts):
            votes = np.zeros(4)
            for k in order[:count]:
                votes[labels[k]] += np.exp(near[k] / TEMPERATURE)
            np.testing.assert_allclose(found[i, j], votes / votes.sum(), atol=1e-9)


def test_of_equally_near_neighbours_the_first_vote() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-2.0, 0.0]])
    heads = fit_neighbours(x, torch.tensor([2, 0, 1]), 3, [1])
    assert heads.scores(torch.tensor([[5.0, 0.0]]))[0, 0].tolist() == [0.0, 0.0, 1.0]
