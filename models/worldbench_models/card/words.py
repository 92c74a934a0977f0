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
        curves: What ``curves.svg`` shows.
        before_curves: What a reader of them must know.
    """

    what: str
    load: str
    limits: tuple[str, ...]
    curves: str
    before_curves: tuple[str, ...] = ()


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
    curves="Training loss, held-out errors and rollouts",
)

_JEPA = Words(
    what=(
        "A small video joint-embedding predictive architecture (V-JEPA, Bardes et al. 2024): an "
        "encoder of patches of 2 frames × 8 × 8 pixels with full attention over space and time, "
        "and a predictor that foresees, from the latents of what was seen, the latents of what "
        "was not. It learns on clips of the procedural worlds by the squared error of those "
        "latents, of blocks and of futures encoded without their past. One encoder, the average of "
        "the weights over training, serves context and targets. It is the predictive reference of "
        "worldbench beside the generative `dit`, matched in parameters and training FLOPs "
        "([side by side](../README.md)): a yardstick made to be read and trained again, not a "
        "strong video model."
    ),
    load="""\
```sh
worldbench check {options}
worldbench run {options} suite=video_distance
```

```python
from worldbench.compose import compose, instantiate

adapter = instantiate("adapter", compose([{listed}]).adapter)
latents = adapter.encode(video).tokens  # b t' h' w' d; t' steps of 2 frames
foreseen = adapter.predict(context, 12).tokens  # of 12 frames to come, as encode gives them alone
```""",
    limits=(
        "It has seen rendered scenes of matt primitives in a textured room, at one size, rate and "
        "length of clips, and nothing else: of natural video it knows nothing.",
        "It paints no pixels: what it foresees is seen through a read-out only, which "
        "`video_distance` fits to encodings of real futures.",
        "It answers with one prediction. Where several futures are possible, that lies between "
        "them, as a squared error asks for, and is none of them.",
        "Skill and surprise are measured in its own latents: what these leave out it need not "
        "foresee, so skills of two models, or of two steps of one training, do not compare alone.",
        "The targets of `latent_error_fullclip` have seen the context; it is there to compare with "
        "what is published. Its gates are measured by `latent_error`.",
        "All numbers here are of one training run with one seed; "
        "[runs of a smaller one](../README.md) tell how far seeds lie apart.",
        "Gates were measured on the calibration split, which differs from the training split by "
        "seeds only: they say nothing of unseen colours, sizes, speeds or textures.",
    ),
    curves="Training loss, and on held-out clips RankMe, feature std, skill and an online probe",
    before_curves=(
        "The loss is no monitor: its targets are latents that change in training, so it rises as "
        "they grow richer and would fall to zero if they collapsed. The panels below it are "
        "measured on clips that it never trains on.",
    ),
)

WORDS = {"dit": _DIT, "jepa": _JEPA}
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
