import copy
from pathlib import Path

import pytest
import torch

from worldbench.errors import UsageError
from worldbench_models.dit import recipe as recipes
from worldbench_models.dit.adapter import DiTAdapter
from worldbench_models.dit.recipe import DiTRecipe
from worldbench_models.training.learner import Learner
from worldbench_models.weights import save_weights

CPU = torch.device("cpu")


def clips(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 16, 64, 64, 3), generator=generator, dtype=torch.uint8)


def learner(seed: int = 0) -> Learner:
    return Learner(DiTRecipe(warmup=1), "xs", seed, steps=10, device=CPU, autocast=False)


def test_every_parameter_has_one_optimiser_and_muon_has_matrices_only() -> None:
    made = learner()
    muon, adamw = made.optimisers
    matrices = muon.param_groups[0]["params"]
    rest = adamw.param_groups[0]["params"]
    assert all(p.ndim == 2 and min(p.shape) > 6 for p in matrices)
    given = [id(p) for p in [*matrices, *rest]]
    assert sorted(given) == sorted(id(p) for p in made.objective.parameters())


def test_weights_follow_from_the_seed_and_nobody_elses_chance_is_touched() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (learner(seed).objective.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    name = "network.patch_in.weight"
    assert torch.equal(one[name], same[name])
    assert not torch.equal(one[name], other[name])


def test_a_resumed_learner_takes_the_very_same_step() -> None:
    shown = clips(2)

    def step(one: Learner, number: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(number)
        return one.step(one.objective, shown, generator, number)[0]

    first = learner()
    step(first, 0)
    states = copy.deepcopy(first.states())
    resumed = learner(seed=1)
    resumed.load(states)
    assert torch.equal(step(first, 1), step(resumed, 1))
    for one, other in zip(
        first.objective.parameters(), resumed.objective.parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_what_is_released_loads_as_an_adapter(tmp_path: Path) -> None:
    made = learner()
    release = DiTRecipe().release(made.averaged, "xs")
    words = {"training_data": "none", "training_compute": "none", "licence": "Apache-2.0"}
    path = tmp_path / "dit-xs.safetensors"
    save_weights(path, release.state, release.header | {"model": "dit", "size": "xs"} | words)
    adapter = DiTAdapter(weights=str(path), sampler_steps=1)
    assert adapter.card.parameters == sum(p.numel() for p in made.objective.parameters())
    rollout = adapter.generate(torch.rand(1, 4, 3, 64, 64), 2, samples=1, seeds=[0])
    assert rollout.shape == (1, 1, 2, 3, 64, 64)


def test_held_out_measures_of_a_network_that_says_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zero-initialised network estimates 0: its errors are known in closed form."""
    monkeypatch.setattr(recipes, "_SAMPLER_STEPS", 2)
    shown = clips(2)
    told = DiTRecipe().heldout(learner().averaged, shown)
    values = shown.double() / 127.5 - 1
    wanted = float(values[:, 4:].square().mean())
    assert list(told["denoising"].values()) == pytest.approx([wanted] * 5, rel=1e-5)
    frames = (values[:, 4:].square().mean(dim=(0, 2, 3, 4)) / 4).tolist()
    assert told["rollout"] == pytest.approx(frames, rel=1e-5)
    last = (values[:, 4:] - values[:, 3:4]).square().mean(dim=(0, 2, 3, 4)) / 4
    assert told["copy_last"] == pytest.approx(last.tolist(), rel=1e-5)


@pytest.mark.parametrize(
    "option", [{"learning_rate": -1.0}, {"decay": 7.0}, {"ema": float("nan")}, {"warmup": -5}]
)
def test_options_out_of_range_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"model.{next(iter(option))} is out of range"):
        DiTRecipe(**option)  # type: ignore[arg-type]


def test_an_unknown_size_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="xxl"):
        DiTRecipe().plan("xxl")
