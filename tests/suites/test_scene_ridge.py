"""The fit against another implementation, on features that need no model."""

import hashlib

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from worldbench.suites import ridge

SCENES = [f"scene{i // 3}" for i in range(60)]
"""Three items of each of twenty scenes."""

SHAPES = [(12, "primal"), (150, "dual")]


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def problem(columns: int, noise: float = 0.5) -> tuple[Tensor, Tensor]:
    """Features of unequal scale and position, and targets that are linear in some plus noise."""
    x = normal(60, columns) * torch.logspace(-1, 1, columns) + 3
    y = (x[:, :4] - 3) @ normal(4, 2, seed=1) + 7
    return x, y + noise * normal(60, 2, seed=2)


def elsewhere(x: Tensor, y: Tensor, penalty: float) -> Ridge:
    """Fits with the penalty converted: n times the mean variance of the columns."""
    spread = float(((x - x.mean(0)) ** 2).sum()) / x.shape[1]
    return Ridge(alpha=penalty * spread, solver="svd").fit(x.numpy(), y.numpy())


def folds() -> list[np.ndarray]:
    """Deals scenes out anew, as the module says that it does."""
    names = sorted(set(SCENES), key=lambda name: hashlib.sha256(name.encode()).digest())
    return [np.isin(SCENES, names[i::4]) for i in range(4)]


@pytest.mark.parametrize(("columns", "shape"), SHAPES)
def test_the_map_is_that_of_another_implementation(columns: int, shape: str) -> None:
    assert (columns > len(SCENES)) == (shape == "dual")
    x, y = problem(columns)
    found = ridge.fit(x, y, SCENES)
    expected = elsewhere(x, y, found.penalty)
    np.testing.assert_allclose(found.weights.T, expected.coef_, atol=1e-8)
    np.testing.assert_allclose(found.offset, expected.intercept_, atol=1e-8)
    new = normal(5, columns, seed=9)
    np.testing.assert_allclose(found(new), expected.predict(new.numpy()), atol=1e-8)


@pytest.mark.parametrize(("columns", "shape"), SHAPES)
def test_the_penalty_is_that_with_the_least_error_on_scenes_left_out(
    columns: int, shape: str
) -> None:
    x, y = problem(columns, noise=2.0)
    errors, held = {}, {}
    for penalty in ridge.PENALTIES:
        held[penalty] = np.empty(y.shape)
        for out in folds():
            fitted = elsewhere(x[~out], y[~out], penalty)
            held[penalty][out] = fitted.predict(x[out].numpy())
        errors[penalty] = float(((held[penalty] - y.numpy()) ** 2).sum())
    found = ridge.fit(x, y, SCENES)
    assert found.penalty == min(errors, key=lambda penalty: errors[penalty])
    np.testing.assert_allclose(found.held_out, held[found.penalty], atol=1e-7)


def test_what_is_said_of_an_item_was_fitted_without_its_scene() -> None:
    x, y = problem(12)
    moved = y.clone()
    own = [i for i, scene in enumerate(SCENES) if scene == "scene7"]
    moved[own] += torch.tensor([0.5, -0.5])
    one, other = (ridge.fit(x, targets, SCENES) for targets in (y, moved))
    assert one.penalty == other.penalty
    assert torch.equal(one.held_out[own], other.held_out[own])
    rest = [i for i in range(60) if i not in own]
    assert not torch.equal(one.held_out[rest], other.held_out[rest])


def test_a_code_of_each_scene_is_no_knowledge() -> None:
    """Items of a scene share a code: folds that split scenes would find it, and shrink nothing."""
    code = normal(20, 100, seed=3).repeat_interleave(3, dim=0)
    y = normal(20, 2, seed=4).repeat_interleave(3, dim=0)
    found = ridge.fit(code, y, SCENES)
    assert found.penalty >= 0.1
    assert float((found.held_out - y).square().sum()) > 0.9 * float((y - y.mean(0)).square().sum())


def test_a_linear_relation_is_found_with_the_weakest_penalty() -> None:
    x, y = problem(12, noise=0.0)
    found = ridge.fit(x, y, SCENES)
    assert found.penalty == ridge.PENALTIES[-1]
    torch.testing.assert_close(found(x), y, rtol=0, atol=1e-2)


def test_features_that_tell_nothing_are_shrunk() -> None:
    y = normal(60, 2, seed=5) + 9
    found = ridge.fit(normal(60, 40, seed=6), y, SCENES)
    assert found.penalty >= 0.1
    assert float((found(normal(20, 40, seed=7)) - y.mean(0)).abs().max()) < 1


@pytest.mark.parametrize("value", [0.0, 1.0, 1000.0])
@pytest.mark.parametrize(("columns", "shape"), SHAPES)
def test_a_constant_column_gets_no_weight(columns: int, shape: str, value: float) -> None:
    x, y = problem(columns)
    wider = torch.cat([x, torch.full((60, 1), value, dtype=torch.float64)], dim=1)
    found = ridge.fit(wider, y, SCENES)
    assert float(found.weights[-1].abs().max()) < 1e-9
    expected = elsewhere(wider, y, found.penalty)
    np.testing.assert_allclose(found(wider), expected.predict(wider.numpy()), atol=1e-8)


def test_nothing_but_constants_says_the_mean() -> None:
    y = normal(60, 2)
    found = ridge.fit(torch.full((60, 3), 0.3), y, SCENES)
    torch.testing.assert_close(found(torch.rand(4, 3)), y.mean(0).expand(4, -1), atol=1e-9, rtol=0)


def test_constant_targets_are_said_whatever_comes() -> None:
    x, _ = problem(12)
    found = ridge.fit(x, torch.full((60, 1), 0.25), SCENES)
    torch.testing.assert_close(found(x + 5), torch.full((60, 1), 0.25).double())
    assert found.penalty == ridge.PENALTIES[0]  # all do alike: the strongest


def test_neighbouring_items_share_a_scene() -> None:
    x, y = problem(12)
    scenes = SCENES[::3]
    one, other = ridge.fit(x, y, SCENES), ridge.fit(x, y, scenes, repeat=3)
    assert one.penalty == other.penalty
    assert torch.equal(one.weights, other.weights)
    assert torch.equal(one.held_out, other.held_out)


@pytest.mark.parametrize("columns", [12, 150])
def test_the_order_of_items_does_not_matter(columns: int) -> None:
    x, y = problem(columns)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0)).tolist()
    one, other = ridge.fit(x, y, SCENES), ridge.fit(x[order], y[order], [SCENES[i] for i in order])
    assert one.penalty == other.penalty
    torch.testing.assert_close(one(x), other(x), atol=1e-8, rtol=0)
    torch.testing.assert_close(one.held_out[order], other.held_out, atol=1e-8, rtol=0)


def test_single_precision_does_not_reach_the_arithmetic() -> None:
    x, y = problem(12)
    x, y = x.float(), y.float()
    one, other = ridge.fit(x, y, SCENES), ridge.fit(x.double(), y.double(), SCENES)
    assert torch.equal(one.weights, other.weights)
    assert one(x).dtype == torch.float64


@pytest.mark.parametrize("scenes", [["one"] * 60, []])
def test_fewer_than_two_scenes_are_refused(scenes: list[str]) -> None:
    x, y = problem(12)
    with pytest.raises(ValueError, match=f"at least two scenes, got {len(set(scenes))}"):
        ridge.fit(x[: len(scenes)], y[: len(scenes)], scenes)


def test_two_scenes_are_enough() -> None:
    x, y = problem(12)
    found = ridge.fit(x[:6], y[:6], SCENES[:6])
    one, two = x[:3], x[3:6]
    expected = elsewhere(two, y[3:6], found.penalty).predict(one.numpy())
    np.testing.assert_allclose(found.held_out[:3], expected, atol=1e-7)
