"""The read-outs: frozen linear maps from latents to what is seen of the target.

Fitted on latents of *real* futures of training scenes, never on rollouts and never on what is
scored, so a rollout is read for what it shows and not for what usually follows (design §8):

- how much of each token shows the target; from that, on which side of the occluder it is
- the level above which a clip's side differs from that of an empty one
- colour and shape, from the tokens that show it
- and, as a floor, what the last context frame alone foretells: ``memoryless``
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, one_hot

from worldbench.suites import ridge

VERSION = 1
"""Raised whenever read-outs of the same latents say something else; part of the protocol."""

_COARSE = 4  # rows and columns of what the memoryless floor sees of the last frame


@dataclass(frozen=True)
class Example:
    """One real future of a training scene.

    Attributes:
        cluster: The scene.
        tokens: Latents of the future, encoded alone.
        last: Latents of a still of the last context frame, as long as the future.
        coverage: Share of each token that shows the target.
        exits: 1 for tokens on the side where the target comes out, −1 for the others.
        looks: Level of each attribute, of clips in which the target comes out.
    """

    cluster: str
    tokens: Float[Tensor, "steps h w d"]
    last: Float[Tensor, "steps h w d"]
    coverage: Float[Tensor, "steps h w"]
    exits: Float[Tensor, "steps 1 w"]
    looks: dict[str, str] | None


@dataclass(frozen=True)
class Readout:
    """What is read off latents of one space.

    Attributes:
        seen: Token to share that shows the target.
        memoryless: Last frame to the shares of all tokens and steps.
        threshold: Of a step's side difference (:func:`side`): above it something has come out.
        looks: By attribute, the map to one value per level, and the levels.
        r2: Share of the variance of token shares that is read off scenes held out.
    """

    seen: ridge.Map
    memoryless: ridge.Map
    threshold: float
    looks: dict[str, tuple[ridge.Map, tuple[str, ...]]]
    r2: float

    def coverage(
        self, tokens: Float[Tensor, "steps h w d"], last: Float[Tensor, "steps h w d"]
    ) -> Float[Tensor, "steps h w"]:
        """Returns how much more of each token shows the target than in the last context frame.

        There it is hidden: what a map takes for it there, such as a look-alike that stands about,
        it takes for it afterwards as well. Not clipped.

        Args:
            tokens: Latents of a future.
            last: Latents of a still of the last context frame, as long.
        """
        return (self.seen(tokens.cpu()) - self.seen(last.cpu()))[..., 0]

    def foretold(self, last: Float[Tensor, "steps h w d"]) -> Float[Tensor, "steps h w"]:
        """Returns what the last context frame alone lets one expect."""
        steps, rows, columns = last.shape[:3]
        foretold = self.memoryless(_last_frame(last)[None])[0].reshape(-1, rows, columns)
        # Of a future longer than those it was fitted on, the last step that it knows stays.
        return torch.cat([foretold, foretold[-1:].expand(steps, -1, -1)])[:steps]

    def look(
        self, attribute: str, tokens: Float[Tensor, "steps h w d"], weights: Tensor
    ) -> str | None:
        """Returns the level read off the tokens that show the target; None if none does."""
        mean = _mean_token(tokens, weights)
        if mean is None or attribute not in self.looks:
            return None
        found, levels = self.looks[attribute]
        return levels[int(found(mean[None])[0].argmax())]


def side(
    coverage: Float[Tensor, "steps h w"], exits: Float[Tensor, "steps 1 w"]
) -> Float[Tensor, " steps"]:
    """Returns how much more of the target is on the exit's side, in tokens, per latent step."""
    return (coverage * exits).sum(dim=(1, 2))


def fit_readout(examples: Sequence[Example]) -> Readout:
    """Fits everything on training examples.

    Raises:
        ValueError: If there are fewer than two scenes.
    """
    clusters = [example.cluster for example in examples]
    steps = min(len(example.tokens) for example in examples)
    tokens = torch.stack([example.tokens[:steps] for example in examples])
    coverage = torch.stack([example.coverage[:steps] for example in examples])
    truth = coverage.flatten()[:, None]
    seen = ridge.fit(tokens.flatten(0, 3), truth, clusters, repeat=coverage[0].numel())
    error = float((seen.held_out - truth).square().sum())
    spread = float((truth - truth.mean()).square().sum())
    last = torch.stack([_last_frame(example.last) for example in examples])
    memoryless = ridge.fit(last, coverage.flatten(1), clusters)
    before = torch.stack([seen(example.last[:steps])[..., 0] for example in examples])
    held = seen.held_out[:, 0].reshape(coverage.shape) - before
    sides = [side(c, example.exits[:steps]) for c, example in zip(held, examples, strict=True)]
    out = torch.tensor([example.looks is not None for example in examples])
    return Readout(
        seen,
        memoryless,
        _threshold(torch.stack([s.max() for s in sides]), out),
        _looks(examples, held, steps),
        r2=1 - error / spread if spread > 0 else 0.0,
    )


def _threshold(most: Float[Tensor, " n"], out: Tensor) -> float:
    """Returns the level above 0 that best tells clips with the target out from those without it.

    Best: the largest sum of the shares told right of either kind; of equal ones the lowest.
    """
    values = torch.unique(most.clamp(min=0))  # sorted; where nothing changed nothing came out
    edges = torch.cat([values.new_zeros(1), values[values > 0], values[-1:] + 1])
    levels = (edges[1:] + edges[:-1]) / 2
    above = most[None] > levels[:, None]
    right = (above & out).sum(dim=1) / out.sum() + (~above & ~out).sum(dim=1) / (~out).sum()
    return float(levels[int(right.argmax())])


def _looks(
    examples: Sequence[Example], held: Float[Tensor, "n steps h w"], steps: int
) -> dict[str, tuple[ridge.Map, tuple[str, ...]]]:
    means, clusters, looks = [], [], []
    for example, coverage in zip(examples, held, strict=True):
        mean = _mean_token(example.tokens[:steps], coverage * (example.exits[:steps] > 0))
        if example.looks is not None and mean is not None:
            means.append(mean)
            clusters.append(example.cluster)
            looks.append(example.looks)
    found = {}
    for attribute in looks[0] if len(set(clusters)) > 1 else ():
        levels = tuple(sorted({each[attribute] for each in looks}))
        classes = torch.tensor([levels.index(each[attribute]) for each in looks])
        answers = one_hot(classes, len(levels)).double()
        found[attribute] = (ridge.fit(torch.stack(means), answers, clusters), levels)
    return found


def _mean_token(
    tokens: Float[Tensor, "steps h w d"], weights: Float[Tensor, "steps h w"]
) -> Float[Tensor, " d"] | None:
    positive = weights.clamp(min=0).double()
    total = float(positive.sum())
    if total <= 0:
        return None
    return (tokens.cpu().double() * positive[..., None]).sum(dim=(0, 1, 2)) / total


def _last_frame(last: Float[Tensor, "steps h w d"]) -> Float[Tensor, " k"]:
    """Pools latents of a still to a few rows and columns."""
    mean = last.double().cpu().mean(dim=0).permute(2, 0, 1)
    grid = (min(_COARSE, mean.shape[1]), min(_COARSE, mean.shape[2]))
    return adaptive_avg_pool2d(mean, grid).flatten()
