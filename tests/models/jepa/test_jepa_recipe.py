import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from worldbench.errors import UsageError
from worldbench_models.dit.recipe import DiTRecipe
from worldbench_models.jepa.adapter import JEPAAdapter
from worldbench_models.jepa.loss import PredictionLoss, Teacher
from worldbench_models.jepa.masks import MULTI, dealt
from worldbench_models.jepa.network import JEPA, SHAPES, Shape
from worldbench_models.jepa.recipe import COLLAPSE, JEPARecipe
from worldbench_models.training.learner import Learner
from worldbench_models.training.recipe import Recipe
from worldbench_models.weights import save_weights

CPU = torch.device("cpu")
STEPS = 10
SLOW = pytest.mark.slow  # their passes are long to go through, even without numbers


@pytest.fixture(autouse=True)
def tiny(random_network: Callable[..., JEPA], monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes ``tiny`` a size."""
    monkeypatch.setitem(SHAPES, "tiny", random_network().shape)


def clips(count: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 16, 64, 64, 3), generator=generator, dtype=torch.uint8)


def learner(seed: int = 0, collapse: str = "ema", size: str = "tiny") -> Learner:
    recipe = JEPARecipe(collapse=collapse, ema_start=0.5, ema_end=0.9)
    return Learner(recipe, size, seed, steps=STEPS, device=CPU, autocast=False)


def stepped(one: Learner, number: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(number)
    return one.step(one.objective, clips(), generator, number)[0]


def test_it_is_a_recipe() -> None:
    assert isinstance(JEPARecipe(), Recipe)


@pytest.mark.parametrize("collapse", COLLAPSE)
def test_every_parameter_has_one_optimiser_and_muon_has_the_blocks_matrices(collapse: str) -> None:
    made = learner(collapse=collapse, size="xs")
    muon, adamw = made.optimisers
    matrices, rest = (o.param_groups[0]["params"] for o in (muon, adamw))
    names = {id(p): name for name, p in made.objective.named_parameters()}
    given = [id(p) for p in [*matrices, *rest]]
    assert sorted(given) == sorted(names)
    assert all(p.ndim == 2 for p in matrices)
    assert all(".blocks." in names[id(p)] for p in matrices)
    assert not any(".blocks." in names[id(p)] for p in rest)


def test_weights_follow_from_the_seed_and_nobody_elses_chance_is_touched() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (learner(seed).objective.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(
        one["network.encoder.patch_in.weight"], other["network.encoder.patch_in.weight"]
    )


@pytest.mark.parametrize("collapse", COLLAPSE)
def test_a_resumed_learner_takes_the_very_same_steps(collapse: str) -> None:
    first = learner(collapse=collapse)
    stepped(first, 0)
    states = copy.deepcopy(first.states())
    resumed = learner(seed=1, collapse=collapse)
    resumed.load(states)
    for number in (1, 2):
        assert torch.equal(stepped(first, number), stepped(resumed, number))
    for part in ("objective", "averaged"):
        one, other = (getattr(made, part).state_dict() for made in (first, resumed))
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_teacher_is_the_average_whose_weights_follow_the_schedule() -> None:
    made = learner()
    assert isinstance(made.teacher, Teacher)
    assert isinstance(made.averaged, PredictionLoss)
    assert made.teacher.network is made.averaged.network
    by_hand = {name: p.detach().double() for name, p in made.objective.named_parameters()}
    for number in range(4):
        stepped(made, number)
        kept = 0.5 + (0.9 - 0.5) * number / STEPS
        for name, current in made.objective.named_parameters():
            by_hand[name] = kept * by_hand[name] + (1 - kept) * current.detach().double()
    taught = dict(made.teacher.named_parameters())
    for name, expected in by_hand.items():
        torch.testing.assert_close(taught[name].double(), expected, rtol=1e-5, atol=1e-6)
    moved = [not torch.equal(taught[n], p) for n, p in made.objective.named_parameters()]
    assert all(moved)


def test_the_decay_rises_linearly() -> None:
    recipe = JEPARecipe()
    assert recipe.ema(0, 200) == 0.99
    assert recipe.ema(100, 200) == pytest.approx((0.99 + 0.9995) / 2)
    assert recipe.ema(200, 200) == pytest.approx(0.9995)


def test_no_gradient_reaches_the_teacher() -> None:
    made = learner()
    assert made.teacher is not None
    generator = torch.Generator().manual_seed(0)
    draws = made.recipe.draws("tiny", 5, generator)
    # Even where gradients are recorded, none leads to the teacher's weights.
    (targets,) = made.teacher(clips(), *draws)
    assert not targets.requires_grad
    torch.autograd.backward(made.objective(clips(), *draws, targets))
    for parameter in made.averaged.parameters():
        assert not parameter.requires_grad
        assert parameter.grad is None
    assert all(p.grad is not None for p in made.objective.parameters())


def test_in_the_other_arm_nobody_teaches() -> None:
    made = learner(collapse="sigreg")
    assert made.teacher is None
    stepped(made, 0)
    released = JEPARecipe().release(made.averaged, "tiny").state
    trained = made.objective.state_dict()
    assert not torch.equal(
        released["encoder.patch_in.weight"], trained["network.encoder.patch_in.weight"]
    )


@pytest.mark.parametrize("collapse", COLLAPSE)
@pytest.mark.parametrize("causal", [0.0, 0.3, 1.0])
def test_what_is_drawn_depends_on_the_generator_alone(collapse: str, causal: float) -> None:
    recipe = JEPARecipe(collapse=collapse, causal=causal)

    def drawn(seed: int) -> tuple[torch.Tensor, ...]:
        return recipe.draws("tiny", 64, torch.Generator().manual_seed(seed))

    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, same, other = drawn(0), drawn(0), drawn(1)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, one, same))
    assert not torch.equal(one[0], other[0])
    assert 10 < int(one[0].sum()) < 54  # half are mirrored
    multi = dealt(64, causal)[0]
    sizes = [n for kind in MULTI.values() for n in (kind.seen, kind.hidden)]
    assert [tuple(mask.shape) for mask in one[1:5]] == [(multi, n) for n in sizes]
    directions = [tuple(tensor.shape) for tensor in one[5:]]
    assert directions == ([(32, 256)] if collapse == "sigreg" else [])


@pytest.mark.parametrize("collapse", COLLAPSE)
@pytest.mark.parametrize("size", ["xs", "s", *(pytest.param(n, marks=SLOW) for n in ("m", "l"))])
def test_training_takes_the_operations_of_the_dits(
    size: str, collapse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (JEPARecipe, DiTRecipe):  # a plan counts them too
        monkeypatch.setattr(kind, "training_flops", cache(kind.training_flops))

    def operations(recipe: Recipe) -> float:
        plan = recipe.plan(size)
        return plan.steps * plan.batch_size * recipe.training_flops(size)

    ours, dits = JEPARecipe(collapse=collapse), DiTRecipe()
    assert operations(ours) / operations(dits) == pytest.approx(1, abs=0.1)
    assert ours.plan(size).batch_size == dits.plan(size).batch_size


@pytest.mark.parametrize(
    "option",
    [
        {"learning_rate": -1.0},
        {"adamw_learning_rate": 2.0},
        {"warmup": 300.0},
        {"cosine": float("nan")},
        {"causal": 1.01},
        {"ema_start": float("inf")},
        {"ema_end": -0.1},
        {"sigreg": 1.5},
    ],
)
def test_options_out_of_range_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"model.{next(iter(option))} is out of range"):
        JEPARecipe(**option)  # type: ignore[arg-type]


def test_an_unknown_cure_of_collapse_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"model\.collapse") as caught:
        JEPARecipe(collapse="vicreg")
    assert all(name in str(caught.value) for name in COLLAPSE)


def test_an_unknown_size_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="xxl"):
        JEPARecipe().plan("xxl")


def test_what_is_released_loads_as_an_adapter(tmp_path: Path) -> None:
    made = learner()
    stepped(made, 0)
    release = JEPARecipe().release(made.averaged, "tiny")
    words = {"training_data": "none", "training_compute": "none", "licence": "Apache-2.0"}
    path = tmp_path / "jepa-tiny.safetensors"
    save_weights(path, release.state, release.header | {"model": "jepa", "size": "tiny"} | words)
    adapter = JEPAAdapter(weights=str(path))
    assert adapter.card.parameters == sum(p.numel() for p in made.objective.parameters())
    shape: Shape = made.objective.network.shape  # type: ignore[assignment]
    assert release.header["shape"]["encoder"] == vars(shape.encoder)
    assert release.header["shape"]["predictor"] == vars(shape.predictor)
