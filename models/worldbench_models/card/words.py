"""What is said of each model beside its numbers."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from worldbench.errors import unknown_name


@dataclass(frozen=True)
class Words:
    """The prose of a card.

    Attributes:
        what: What the model is.
        load: How it is used: commands, and Python. ``{options}`` stands for the overrides that
            load the weights, ``{listed}`` for the same as items of a Python list.
        limits: What it is not good for.
    """

    what: str
    load: str
    limits: tuple[str, ...]


_DIT = Words(
    what=(
        "A small video diffusion transformer in pixel space: patches of 2 frames × 8 × 8 pixels, "
        "full attention over space and time, a noise level per latent step, and a network that "
        "predicts the clean patches. It continues clips of the procedural worlds from a clean "
        "context, and says by its denoising error how little it expected a future. It is the "
        "generative reference of worldbench: a yardstick made to be read and trained again, not "
        "a strong video model."
    ),
    load="""\
```sh
worldbench check {options}
worldbench run {options} suite=video_distance
```

```python
from worldbench.compose import compose, instantiate

adapter = instantiate("adapter", compose([{listed}]).adapter)
rollout = adapter.generate(context, 12, samples=8, seeds=range(len(context)))  # b s t 3 h w
```""",
    limits=(
        "It has seen rendered scenes of matt primitives in a textured room, at one size, rate and "
        "length of clips, and nothing else: of natural video it knows nothing.",
        "All numbers here are of one training run with one seed.",
        "Gates were measured on the calibration split, which differs from the training split by "
        "seeds only: they say nothing of unseen colours, sizes, speeds or textures.",
        "Fewer sampler steps lower the squared error of a single sample and blur it; the step "
        "count is part of the adapter's identity.",
    ),
)

WORDS = {"dit": _DIT}
"""By model, as ``summary.json`` names it."""


def words_of(model: str, overrides: Sequence[str]) -> Words:
    """Returns a model's prose.

    Args:
        model: As ``summary.json`` names it.
        overrides: What makes its adapter load the weights, e.g. ``adapter=dit``.

    Raises:
        UsageError: If nothing is known of such a model.
    """
    if model not in WORDS:
        raise unknown_name("model", model, WORDS, fix="add it to worldbench_models/card/words.py")
    words, options = WORDS[model], " ".join(map(shlex.quote, overrides))
    listed = ", ".join(json.dumps(override) for override in overrides)
    return replace(words, load=words.load.replace("{options}", options).replace("{listed}", listed))
