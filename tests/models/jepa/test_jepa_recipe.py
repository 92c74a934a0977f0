import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

import worldbench_models
from worldbench.compose import instantiate
from worldbench.errors import UsageError
from worldbench_models.dit.recipe import DiTRecipe
from worldbench_models.jepa.adapter import JEPAAdapter
from worldbench_models.jepa.loss import ERRORS, TARGETS, PredictionLoss, Teacher
from worldbench_models.jepa.masks import MULTI, dealt
from worldbench_models.jepa.network import JEPA, SHAPES, Shape
from worldbench_models.jepa.recipe import COLLAPSE, OPTIMISERS, JEPARecipe, checked_contexts
from worldbench_models.patches import GRID, VALUES
from worldbench_models.training.compute import count_flops
from worldbench_models.training.learner import Learner
from worldbench_models.training.recipe import Recipe
from worldbench_models.weights import save_weights

CPU = torch.device("cpu")
STEPS = 10
EVERY = tuple(range(1, GRID[0]))  # contexts
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


def test_adamw_alone_has_every_parameter_once_and_decays_the_blocks_matrices() -> None:
    recipe = JEPARecipe(optimiser="adamw", adamw_learning_rate=6e-4, weight_decay=0.04)
    made = Learner(recipe, "xs", 0, steps=STEPS, device=CPU, autocast=False)
    matrices, rest = made.optimisers
    assert all(type(one) is torch.optim.AdamW for one in made.optimisers)
    decays = [one.param_groups[0]["weight_decay"] for one in made.optimisers]
    assert decays == [0.04, 0.0]
    given = [p for one in (matrices, rest) for p in one.param_groups[0]["params"]]
    assert sorted(map(id, given)) == sorted(map(id, made.objective.parameters()))
    assert all(p.ndim == 2 for p in matrices.param_groups[0]["params"])


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


@pytest.mark.parametrize("targets", TARGETS)
def test_no_gradient_reaches_the_teacher(targets: str) -> None:
    recipe = JEPARecipe(targets=targets)
    made = Learner(recipe, "tiny", 0, steps=STEPS, device=CPU, autocast=False)
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
    assert ours.plan(size).batch_size == 3 * dits.plan(size).batch_size


OTHERS: list[dict[str, Any]] = [
    {"causal": 0.25, "contexts": EVERY, "targets": "clip"},
    {"causal": 0.25, "contexts": EVERY},
    {"causal": 0.0, "targets": "clip"},
    {"causal": 1.0, "contexts": (7,)},
    {"causal": 0.25, "contexts": EVERY, "targets": "clip", "collapse": "sigreg"},
]


@pytest.mark.parametrize("options", OTHERS)
def test_training_takes_the_operations_of_the_dits_whatever_is_asked_for(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (JEPARecipe, DiTRecipe):
        monkeypatch.setattr(kind, "training_flops", cache(kind.training_flops))
    ours, dits = JEPARecipe(**options), DiTRecipe()
    taken = [
        recipe.plan("xs").steps * recipe.plan("xs").batch_size * recipe.training_flops("xs")
        for recipe in (ours, dits)
    ]
    assert taken[0] / taken[1] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("targets", TARGETS)
def test_operations_are_the_mean_over_masks_in_their_shares(targets: str) -> None:
    def counted(causal: float, contexts: tuple[int, ...]) -> float:
        recipe = JEPARecipe(causal=causal, contexts=contexts, targets=targets)
        return recipe.training_flops("tiny")

    contexts = (1, 4, 7)
    each = [counted(1.0, (context,)) for context in contexts]
    blocks, causal = counted(0.0, contexts), counted(1.0, contexts)
    assert len({round(one) for one in each}) == len(each)
    assert causal == pytest.approx(sum(each) / len(each), rel=1e-9)
    assert counted(0.25, contexts) == pytest.approx(0.75 * blocks + 0.25 * causal, rel=1e-9)


def test_targets_within_the_clip_take_a_whole_clip_each() -> None:
    def targets_of(steps: int, times: int) -> int:
        def encode() -> None:
            JEPA(SHAPES["tiny"]).encode(torch.empty(times, steps, *GRID[1:], VALUES))

        return count_flops(encode)

    one = {"causal": 1.0, "contexts": (3,)}
    alone, clip = (JEPARecipe(targets=t, **one).training_flops("tiny") for t in TARGETS)  # type: ignore[arg-type]
    assert clip - alone == pytest.approx(targets_of(8, 1) - targets_of(5, 1))


def test_what_is_asked_for_reaches_loss_and_teacher() -> None:
    recipe = JEPARecipe(causal=0.25, contexts=[7, 1, 4], targets="clip")
    made = Learner(recipe, "tiny", 0, steps=STEPS, device=CPU, autocast=False)
    for part in (made.objective, made.averaged, made.teacher):
        assert isinstance(part, PredictionLoss | Teacher)
        assert (part.causal, part.contexts, part.targets) == (0.25, (1, 4, 7), "clip")


def test_the_configuration_asks_for_what_the_class_does_anyway() -> None:
    path = Path(worldbench_models.__file__).parent / "conf" / "model" / "jepa.yaml"
    told = OmegaConf.load(path)
    assert isinstance(told, DictConfig)
    made, usual = instantiate("model", told), JEPARecipe()
    own = [name for name in vars(usual) if not name.startswith("_")]
    assert {name: getattr(made, name) for name in own} == {n: getattr(usual, n) for n in own}
    asked = OmegaConf.merge(told, OmegaConf.from_dotlist(["contexts=[1,2]", "targets=clip"]))
    other = instantiate("model", cast(DictConfig, asked))
    assert (other.contexts, other.targets) == ((1, 2), "clip")


@pytest.mark.parametrize(
    "contexts",
    [[], [0], [8], [2, 2], [-1], [True, 2], [2.0], ["2"], [[2]], 4, "24", None, range(9)],
)
def test_contexts_that_leave_no_past_or_no_future_are_refused(contexts: Any) -> None:
    with pytest.raises(UsageError, match=r"model\.contexts is out of range") as caught:
        checked_contexts(contexts)
    assert f"seen:     {contexts!r}\n" in str(caught.value)
    assert "from 1 to 7" in str(caught.value)


def test_the_recipe_refuses_them_too() -> None:
    with pytest.raises(UsageError, match=r"model\.contexts is out of range"):
        JEPARecipe(contexts=[0, 1])


@pytest.mark.parametrize("targets", ["Clip", "", "both"])
def test_unknown_targets_are_refused_with_the_known_ones(targets: str) -> None:
    with pytest.raises(UsageError, match=r"model\.targets") as caught:
        JEPARecipe(targets=targets)
    assert all(name in str(caught.value) for name in TARGETS)


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


@pytest.mark.parametrize(("option", "known"), [("optimiser", OPTIMISERS), ("error", ERRORS)])
def test_other_unknown_names_are_refused_with_the_known_ones(option: str, known: object) -> None:
    with pytest.raises(UsageError, match=rf"model\.{option}") as caught:
        JEPARecipe(**{option: "huber"})  # type: ignore[arg-type]
    assert all(name in str(caught.value) for name in known)  # type: ignore[attr-defined]


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
