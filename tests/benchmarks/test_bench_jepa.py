"""What bench_jepa times against each other is the same loss, whatever the recipe's options."""

from typing import Any

import pytest
import torch
from bench_jepa import RecipeByMask, Stepping, require_same

from worldbench_models.jepa.recipe import JEPARecipe
from worldbench_models.patches import FRAMES, RESOLUTION
from worldbench_models.training.learner import Learner

OPTIONS: list[dict[str, Any]] = [
    {},
    {"error": "l1", "contexts": [2, 4], "backward": 0.5},
    {"error": "smooth_l1", "targets": "clip"},
    {"collapse": "sigreg"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_by_mask_and_packed_have_the_same_first_loss(options: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(3)
    shape = (10, FRAMES, *RESOLUTION, 3)
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    losses = {}
    for name, kind in (("packed", JEPARecipe), ("by mask", RecipeByMask)):
        cpu = torch.device("cpu")
        learner = Learner(kind(**options), "xs", 0, steps=1000, device=cpu, autocast=False)
        losses[name] = float(Stepping(learner, learner.objective, clips)())
    require_same(losses, "fp32")


def test_another_loss_is_not_timed() -> None:
    with pytest.raises(AssertionError, match="by mask has another loss"):
        require_same({"packed": 0.5, "by mask": 0.6}, "bf16")
