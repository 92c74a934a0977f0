"""The averaged weights: how they follow the weights in training, and how they teach."""

import copy

import pytest
import torch
from tiny_recipe import Mean, TinyRecipe
from torch import Tensor, nn

from worldbench_models.training.learner import Learner

CPU = torch.device("cpu")
STEPS = 6


class Taught(Mean):
    """Follows its teacher rather than the clips."""

    def forward(self, clips: Tensor, noise: Tensor, target: Tensor | None = None) -> Tensor:
        assert target is not None
        return (self.value - target - noise.mean()).square().sum()


class Told(nn.Module):
    """Says the averaged value plus one, and keeps what it was called with."""

    def __init__(self, averaged: Mean) -> None:
        super().__init__()
        self.averaged = averaged
        self.calls: list[tuple[Tensor, bool]] = []

    def forward(self, clips: Tensor, noise: Tensor) -> tuple[Tensor]:
        self.calls.append((noise, torch.is_grad_enabled()))
        return (self.averaged.value + 1,)


class TaughtRecipe(TinyRecipe):
    def objective(self, size: str, seed: int) -> nn.Module:
        return Taught(float(seed))

    def teacher(self, averaged: nn.Module) -> Told:  # type: ignore[override]
        assert isinstance(averaged, Taught)
        return Told(averaged)

    def optimisers(self, objective: nn.Module) -> list[torch.optim.Optimizer]:
        return [torch.optim.SGD(objective.parameters(), 0.1)]

    def ema(self, step: int, steps: int) -> float:
        return 0.5 + 0.4 * step / steps


def learner(recipe: TinyRecipe) -> Learner:
    return Learner(recipe, "s", 0, steps=STEPS, device=CPU, autocast=False)


def stepped(one: Learner, number: int) -> Tensor:
    clips = torch.zeros(3, 2, 4, 4, 3, dtype=torch.uint8)
    return one.step(one.objective, clips, torch.Generator().manual_seed(number), number)[0]


def test_the_average_teaches_by_the_very_recursion_that_is_written_down() -> None:
    """Loss (v − (a + 1) − noise)², SGD with a clipped gradient, then a ← k·a + (1 − k)·v."""
    recipe = TaughtRecipe()
    one = learner(recipe)
    value, average = 0.0, 0.0
    for number in range(STEPS):
        noise = torch.randn(3, generator=torch.Generator().manual_seed(number)).mean().item()
        apart = value - (average + 1) - noise
        assert stepped(one, number).item() == pytest.approx(apart**2, rel=1e-4)
        gradient = 2 * apart
        value -= 0.1 * gradient / max(1.0, abs(gradient))
        kept = recipe.ema(number, STEPS)
        average = kept * average + (1 - kept) * value
        (averaged,) = one.averaged.parameters()
        assert averaged.item() == pytest.approx(average, rel=1e-4)
        assert next(one.objective.parameters()).item() == pytest.approx(value, rel=1e-4)


def test_a_teacher_is_called_once_a_step_with_the_draws_and_without_gradient() -> None:
    one = learner(TaughtRecipe())
    for number in range(2):
        stepped(one, number)
    assert isinstance(one.teacher, Told)
    assert [with_gradient for _, with_gradient in one.teacher.calls] == [False, False]
    for number, (noise, _) in enumerate(one.teacher.calls):
        assert torch.equal(noise, torch.randn(3, generator=torch.Generator().manual_seed(number)))


def test_nothing_of_the_average_is_ever_trained() -> None:
    one = learner(TaughtRecipe())
    stepped(one, 0)
    assert isinstance(one.teacher, Told)
    assert one.teacher.averaged is one.averaged
    own = {p.data_ptr() for p in one.objective.parameters()}
    for parameter in one.averaged.parameters():
        assert not parameter.requires_grad
        assert parameter.grad is None
        assert parameter.data_ptr() not in own
    trained = {id(p) for o in one.optimisers for g in o.param_groups for p in g["params"]}
    assert not trained & {id(p) for p in one.averaged.parameters()}


def test_a_resumed_teacher_is_the_resumed_average() -> None:
    one = learner(TaughtRecipe())
    stepped(one, 0)
    other = learner(TaughtRecipe())
    other.load(copy.deepcopy(one.states()))
    assert isinstance(other.teacher, Told)
    assert other.teacher.averaged.value.item() == one.averaged.value.item() != 0  # type: ignore[operator]
    for number in (1, 2):
        assert torch.equal(stepped(one, number), stepped(other, number))


def test_a_recipe_without_a_teacher_is_called_with_its_draws_alone() -> None:
    one = learner(TinyRecipe())
    assert one.teacher is None
    one.compile()  # has nothing to compile
    assert torch.isfinite(stepped(one, 0))
