"""Network, masks, loss, teacher and training loop together: eight clips learnt by heart."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from worldbench.data.worlds.families import family
from worldbench.data.worlds.pictures.render import render_rgb
from worldbench.data.worlds.simulation import simulate
from worldbench.tracking import NoTracker
from worldbench_models.blocks import Size
from worldbench_models.jepa.network import JEPA, SHAPES, Shape
from worldbench_models.jepa.recipe import COLLAPSE, JEPARecipe
from worldbench_models.patches import patchify_bytes
from worldbench_models.training import pool
from worldbench_models.training.learner import Learner
from worldbench_models.training.loop import train
from worldbench_models.training.settings import Settings
from worldbench_models.weights import load_weights

CPU = torch.device("cpu")
SHALLOW = Shape(Size(48, 1, 2, 24, 96), Size(128, 2, 4, 24, 256))


def _montages() -> Tensor:
    """Eight clips cut from eight scenes: after 4 frames of one come 4 of the next, and so on.

    Who knows them by heart knows what comes; who copies, or knows the mean alone, does not.
    """
    scenes = render_rgb([simulate(spec) for spec in family("train_random").specs(8, 0)])
    cuts = [torch.cat([scenes[(i + k) % 8, 4 * k : 4 * k + 4] for k in range(4)]) for i in range(8)]
    return torch.stack(cuts)


def _skills(network: JEPA, clips: Tensor) -> list[float]:
    """Skill after 4, 8 and 12 frames against the mean and a copy: of these very clips."""
    found = []
    for context in (4, 8, 12):
        seen = network.encode(patchify_bytes(clips[:, :context]))
        came = network.encode(patchify_bytes(clips[:, context:]))
        error = (network.predict(seen, came.shape[1]) - came).abs().mean()
        for baseline in (came.mean(dim=(0, 1, 2, 3)), seen[:, -1:]):
            found.append(1 - float(error / (baseline - came).abs().mean()))
    return found


@pytest.mark.parametrize(
    ("steps", "bar"), [(80, 0.15), pytest.param(400, 0.5, marks=pytest.mark.slow)]
)
def test_eight_clips_are_learnt_by_heart_and_foreseen(
    steps: int, bar: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHAPES, "tiny", SHALLOW)
    recipe = JEPARecipe(
        learning_rate=6e-3,
        adamw_learning_rate=6e-3,
        cosine=1.0,
        causal=1.0,
        ema_start=0.95,
        ema_end=0.98,
    )
    learner = Learner(recipe, "tiny", 0, steps=steps, device=CPU, autocast=False)
    clips = _montages()
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        # Contexts go by the place in the batch: every clip is to have all of them.
        shown = clips[torch.randperm(8, generator=generator)]
        learner.step(learner.objective, shown, generator, step)
    network = learner.averaged.network
    assert isinstance(network, JEPA)
    skills = _skills(network, clips)
    assert min(skills) > bar, skills
    latents = network.encode(patchify_bytes(clips)).flatten(0, 3)
    assert float(latents.std(dim=0).mean()) > 0.3  # and not because all are alike


@pytest.fixture
def settings(
    tmp_path: Path, random_network: Callable[..., JEPA], monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A short run of the smallest JEPA on random bytes."""

    def clips_of(spec: Any, count: int, device: torch.device, **_: Any) -> Tensor:
        generator = torch.Generator().manual_seed(spec.seed + len(spec.split))
        shape = (count, 16, 64, 64, 3)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    monkeypatch.setattr(pool, "clips_of", clips_of)
    monkeypatch.setitem(SHAPES, "xs", random_network().shape)
    return Settings(
        model="jepa",
        options={},
        size="xs",
        device=CPU,
        precision="fp32",
        compile=False,
        steps=6,
        batch_size=4,
        clips=8,
        heldout_clips=2,
        clips_folder=None,
        seed=0,
        workers=1,
        out=tmp_path / "run",
        overwrite=False,
        log_every=2,
        heldout_every=4,
        checkpoint_every=1000,
    )


class Interrupted(JEPARecipe):
    """Is interrupted as by Ctrl-C in its fourth step."""

    left = 3

    def draws(self, size: str, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)
        self.left -= 1
        return super().draws(size, batch, generator)


def _logged(settings: Settings) -> list[Any]:
    lines = map(json.loads, (settings.out / "log.jsonl").read_text().splitlines())
    return [line.get("heldout", line.get("loss")) for line in lines]


@pytest.mark.parametrize("collapse", COLLAPSE)
def test_a_resumed_run_gives_the_same_weights_to_the_byte(
    settings: Settings, tmp_path: Path, collapse: str
) -> None:
    weights = train(JEPARecipe(collapse), settings, NoTracker())
    other = replace(settings, out=tmp_path / "other")
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(collapse), other, NoTracker())
    saved = torch.load(other.out / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 4
    resumed = train(JEPARecipe(collapse), other, NoTracker())
    assert resumed.read_bytes() == weights.read_bytes()
    assert _logged(other)[-1] == _logged(settings)[-1]
    kept = load_weights(resumed, model="jepa")
    assert kept.state.keys() == JEPA(SHAPES["xs"]).state_dict().keys()
