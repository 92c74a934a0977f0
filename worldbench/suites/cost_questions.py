"""What an adapter is asked to see what it costs: the kinds of calls of suites, at its own size."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import Adapter, Encodes, Generates, Predicts, Surprises
from worldbench.answers import checked_latents, checked_rollout
from worldbench.batches import resized
from worldbench.noise import TrialNoise
from worldbench.schema import AdapterCard
from worldbench.suites.surprise import headline_operator, unsupported

Call = Callable[[], object]


@dataclass(frozen=True)
class Asked:
    """One call, ready to be made and made again.

    Attributes:
        call: Makes it; no memory but the answer's is handed out.
        check: Raises ContractError if an answer is not what was asked for.
    """

    call: Call
    check: Callable[[object], None]


@dataclass(frozen=True)
class Questions:
    """The calls to one adapter about two clips.

    Attributes:
        adapter: Who is asked.
        pair: Two clips at its size, context and future, ``2 t 3 h w``.
        context: Frames of context.
        trial: Id, for the noise.
        seed: Of the trial.
    """

    adapter: Adapter
    pair: Float[Tensor, "2 t 3 h w"]
    context: int
    trial: str
    seed: int

    def of(self, name: str) -> Asked | str:
        """Returns the call by its name, or says why the adapter cannot be asked."""
        card = self.adapter.card
        if name != "encode" and not card.legal_context(self.context):
            longest = "" if card.max_context is None else f" and ≤ {card.max_context}"
            return (
                f"a context of {self.context} frames is not legal for {card.name}, which takes "
                f"≥ {card.min_context}{longest} in multiples of {card.temporal_stride}"
            )
        found = {
            "encode": self._encode,
            "predict": self._predict,
            "generate": self._generate,
            "surprise": self._surprise,
        }[name]()
        if found is None and name == "surprise":
            return str(unsupported(card))
        return f"{card.name} does not {name}" if found is None else found

    @property
    def _horizon(self) -> int:
        return self.pair.shape[1] - self.context

    @property
    def _seen(self) -> Float[Tensor, "1 c 3 h w"]:
        return self.pair[:1, : self.context]

    def _encode(self) -> Asked | None:
        adapter, clip = self.adapter, self.pair[:1]
        if not isinstance(adapter, Encodes):
            return None
        check = self._latents("encode", clip.shape[1])
        return Asked(lambda: adapter.encode(clip.clone()), check)

    def _predict(self) -> Asked | None:
        adapter, seen, horizon = self.adapter, self._seen, self._horizon
        if not isinstance(adapter, Predicts):
            return None
        check = self._latents("predict", horizon)
        return Asked(lambda: adapter.predict(seen.clone(), horizon), check)

    def _generate(self) -> Asked | None:
        return self._rollouts(self._seen)

    def _rollouts(self, seen: Float[Tensor, "b c 3 h w"]) -> Asked | None:
        adapter, horizon, seeds = self.adapter, self._horizon, [self.seed] * len(seen)
        if not isinstance(adapter, Generates):
            return None

        def check(answer: object) -> None:
            checked_rollout(
                adapter.card.name,
                "generate",
                answer,
                batch=len(seen),
                samples=1,
                horizon=horizon,
                size=(seen.shape[-2], seen.shape[-1]),
            )

        return Asked(lambda: adapter.generate(seen.clone(), horizon, samples=1, seeds=seeds), check)

    def _surprise(self) -> Asked | None:
        """Asks as the suites of quads do, by the operator that counts.

        Of rollouts that are compared with what came, the rollouts are counted, one per context:
        the comparison is the suite's. So is the difference of latents from latents.
        """
        adapter, quad, context = self.adapter, spliced(self.pair, self.context), self.context
        operator, horizon = headline_operator(adapter.card), self._horizon
        if operator is None:
            return None
        if operator == "sample_distance":
            return self._rollouts(self.pair[:, :context])
        if isinstance(adapter, Surprises) and operator in adapter.card.operators:
            noise = TrialNoise([self.trial] * len(quad), quad.device)
            return Asked(
                lambda: adapter.surprise(quad.clone(), context, operator=operator, noise=noise),
                _nothing,
            )
        assert isinstance(adapter, Predicts)
        assert isinstance(adapter, Encodes)

        def foresee_and_encode() -> object:
            foreseen = adapter.predict(quad[:, :context].clone(), horizon)
            return foreseen, adapter.encode(quad[:, context:].clone())

        return Asked(foresee_and_encode, _nothing)

    def _latents(self, call: str, frames: int) -> Callable[[object], None]:
        name = self.adapter.card.name

        def check(answer: object) -> None:
            checked_latents(name, call, answer, batch=1, frames=frames)

        return check


def at_own_size(
    card: AdapterCard, video: Float[Tensor, "b t 3 h w"]
) -> Float[Tensor, "b t 3 rows columns"]:
    """Resizes clips to the size that an adapter was made for, if it says one."""
    return video if card.size is None else resized(video, card.size)


def spliced(pair: Float[Tensor, "2 t 3 h w"], context: int) -> Float[Tensor, "4 t 3 h w"]:
    """Returns two clips and the two that have the context of one and the future of the other."""
    a, b = pair.unbind(dim=0)
    mixed = [torch.cat([one[:context], two[context:]]) for one, two in ((a, b), (b, a))]
    return torch.stack([a, b, *mixed])


def _nothing(answer: object) -> None:
    """Surprise has no shape that a quad of two clips could tell: suites check it."""
