"""Every check of the kit can fail, and fails alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from sound_adapters import CARD, Latent, Sound, Stacked, failures
from torch import Tensor

from worldbench import cli
from worldbench.adapter import Latents
from worldbench.adapters.linear_flow import LinearFlow
from worldbench.adapters.real_future import RealFuture
from worldbench.adapters.still import ContextMean, CopyLast
from worldbench.conformance import check
from worldbench.schema import AdapterCard, Trial

SHAPE = "generate: shape, range, dtype, horizon met exactly"
SEED = "generate: determinism by seeds"
BATCH = "generate: item i draws from seeds[i], whatever the batch"
CONTEXT = "generate: context not altered"
LEAK = "generate: no temporal leak"
ILLEGAL = "generate: illegal contexts refused"


class FrameTooFew(Sound):
    def generate(self, context: Tensor, horizon: int, **options: Any) -> Tensor:
        # Right for the horizons of all other checks.
        return super().generate(context, min(horizon, 8), **options)


class OutOfRange(Sound):
    def generate(self, context: Tensor, horizon: int, **options: Any) -> Tensor:
        rollout = super().generate(context, horizon, **options)
        return rollout * 2 - 1 if horizon == 12 else rollout


class NotANumber(Sound):
    def generate(self, context: Tensor, horizon: int, **options: Any) -> Tensor:
        rollout = super().generate(context, horizon, **options)
        rollout[..., 8:, :, 0, 0] = torch.nan  # from the ninth frame on
        return rollout


class HalfPrecision(Sound):
    def generate(self, context: Tensor, horizon: int, **options: Any) -> Tensor:
        rollout = super().generate(context, horizon, **options)
        return rollout.half() if horizon == 12 else rollout


class SeedIgnored(Sound):
    def seed(self, seeds: Sequence[int], item: int) -> int:
        return 0


class SamplesAlike(Sound):
    def generate(
        self, context: Tensor, horizon: int, *, samples: int, seeds: Sequence[int], **options: Any
    ) -> Tensor:
        one = super().generate(context, horizon, samples=1, seeds=seeds)
        return one.expand(-1, samples, -1, -1, -1, -1).clone()


class GlobalSeed(Sound):
    """Draws from torch's global generator."""

    def seed(self, seeds: Sequence[int], item: int) -> int:
        return int(torch.randint(1 << 40, ()))


class SeedOfTheBatch(Sound):
    """Takes the first item's seed and counts on: other noise when asked alone."""

    def seed(self, seeds: Sequence[int], item: int) -> int:
        return seeds[0] + item


class SeedsInAnyOrder(Sound):
    """Gives each item some item's seed, right only by chance."""

    def seed(self, seeds: Sequence[int], item: int) -> int:
        return sorted(set(seeds))[item]


class SeedsInTheOrderOfTheKit(Sound):
    """Gives the first item the seed of the item that is first in the order first seen."""

    def __init__(self) -> None:
        super().__init__()
        self.met: list[int] = []

    def seed(self, seeds: Sequence[int], item: int) -> int:
        self.met += [seed for seed in seeds if seed not in self.met]
        return sorted(seeds, key=self.met.index)[item]


class BatchMean(CopyLast):
    """Normalises by the batch."""

    def generate(self, context: Tensor, horizon: int, **options: Any) -> Tensor:
        rollout = super().generate(context, horizon, **options)
        return (rollout - rollout.mean() + 0.5).clamp(0, 1)


class InPlace(Sound):
    def generate(self, context: Tensor, horizon: int, **options: Any) -> Tensor:
        context[:, 0] = 0
        return super().generate(context, horizon, **options)


class InPlaceAgainAndAgain(Sound):
    def generate(self, context: Tensor, horizon: int, **options: Any) -> Tensor:
        return super().generate(context.mul_(0.9), horizon, **options)


class Peeks(CopyLast):
    """Reads on in memory, past the end of the context: the future lies there."""

    def generate(self, context: Tensor, horizon: int, **options: Any) -> Tensor:
        b, c, *rest = context.shape
        ahead = context.as_strided((b, c + 1, *rest), context.stride())
        return super().generate(ahead, horizon, **options)


class TakesAnything(Sound):
    def refuse(self, context: Tensor) -> None:
        pass


@pytest.mark.parametrize("adapter", [CopyLast, ContextMean, LinearFlow, RealFuture, Sound])
def test_a_sound_adapter_passes(adapter: type) -> None:
    outcomes = list(check(adapter()))
    assert len(outcomes) >= 2
    assert [outcome for outcome in outcomes if outcome.passed is False] == []


@pytest.mark.parametrize(
    ("adapter", "promise", "said"),
    [
        (FrameTooFew, SHAPE, "wrong number of frames: 8 instead of 12"),
        (OutOfRange, SHAPE, "values outside the range"),
        (NotANumber, SHAPE, "not finite"),
        (HalfPrecision, SHAPE, "torch.float16"),
        (SeedIgnored, SEED, "ignores the seeds"),
        (SamplesAlike, SEED, "two samples of a stochastic adapter are equal"),
        (SeedOfTheBatch, BATCH, "depend on the batch"),
        (SeedsInAnyOrder, BATCH, "depend on the"),
        (SeedsInTheOrderOfTheKit, BATCH, "depend on the order of the batch"),
        (BatchMean, BATCH, "depend on the batch"),
        (InPlace, CONTEXT, "changed in place"),
        (InPlaceAgainAndAgain, CONTEXT, "changed in place"),
        (Peeks, LEAK, "temporal leak"),
        (TakesAnything, ILLEGAL, "illegal context was accepted"),
    ],
)
def test_one_defect_fails_one_check(adapter: type, promise: str, said: str) -> None:
    found = [outcome for outcome in check(adapter()) if outcome.passed is False]
    assert [outcome.name for outcome in found] == [promise]
    assert said in found[0].detail


def test_noise_of_the_process_is_found() -> None:
    assert SEED in failures(GlobalSeed())


def test_noise_that_the_card_does_not_announce_is_found() -> None:
    assert failures(Sound(stochastic=False)) == [SEED]


@pytest.mark.parametrize("says", [(), ("generates", "encodes"), ("encodes",)])
def test_a_card_that_differs_from_the_methods_ends_the_checks(says: tuple[str, ...]) -> None:
    outcomes = list(check(Sound(capabilities=says)))
    assert [(o.name, o.passed) for o in outcomes] == [("card names its capabilities", False)]
    assert "differ from the methods" in outcomes[0].detail


def test_an_adapter_that_can_do_nothing_is_told_so() -> None:
    class Nothing:
        card = AdapterCard(**CARD)

    (outcome,) = check(Nothing())
    assert outcome.passed is False
    assert "no capability" in outcome.detail


def test_checks_that_do_not_apply_say_why() -> None:
    undecided = {o.name: o.detail for o in check(CopyLast()) if o.passed is None}
    assert undecided == {ILLEGAL: "every context is legal"}


class WrongStride(Latent):
    def encode(self, video: Tensor, **options: Any) -> Latents:
        tokens = super().encode(video).tokens
        return Latents(tokens[:, ::2], 4)

    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        tokens = super().predict(context, horizon).tokens
        return Latents(tokens[:, ::2], 4)


class MovingTarget(Latent):
    """Draws noise of its own."""

    def encode(self, video: Tensor, **options: Any) -> Latents:
        tokens = super().encode(video).tokens
        return Latents(tokens + 1e-5 * torch.rand_like(tokens), 2)


class WhitensTheBatch(Latent):
    def encode(self, video: Tensor, **options: Any) -> Latents:
        tokens = super().encode(video).tokens
        return Latents(tokens - tokens.mean(), 2)


class StepTooMany(Latent):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return super().predict(context, max(horizon, 4))


class PredictsRowsApart(Latent):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return Latents(super().predict(context, horizon).tokens[:, :, ::2], 2)


class PredictsNarrower(Latent):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return Latents(super().predict(context, horizon).tokens[..., :2], 2)


class PredictsAtAnotherStride(Latent):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return Latents(super().predict(context, 2 * horizon).tokens, 1)


class PredictsFromBatch(Latent):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        tokens = super().predict(context, horizon).tokens
        return Latents(tokens.mean(dim=0, keepdim=True).expand_as(tokens), 2)


class PredictsByDice(Latent):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        tokens = super().predict(context, horizon).tokens
        return Latents(tokens + 1e-6 * torch.rand_like(tokens), 2)


class PredictsByPeeking(Latent):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        b, c, *rest = context.shape
        ahead = context.as_strided((b, c + 2, *rest), context.stride())
        return super().predict(ahead, horizon)


class SurpriseNotFinite(Latent):
    def surprise(self, video: Tensor, context: int, **options: Any) -> Tensor:
        value = super().surprise(video, context, **options)
        return value.log().sub(torch.inf) if options["operator"] == "latent_error" else value


class SurpriseOfTheBatch(Latent):
    def surprise(self, video: Tensor, context: int, **options: Any) -> Tensor:
        value = super().surprise(video, context, **options)
        return value / value.mean() if options["operator"] == "latent_error" else value


class NeverSurprised(Latent):
    """Compares the future as it is with the future as it is."""

    def surprise(self, video: Tensor, context: int, **options: Any) -> Tensor:
        value = super().surprise(video, context, **options)
        return 0 * value if options["operator"] == "latent_error" else value


class OwnNoise(Latent):
    def surprise(self, video: Tensor, context: int, **options: Any) -> Tensor:
        value = super().surprise(video, context, **options)
        noisy = options["operator"] == "denoising_error"
        return value + 1e-6 * torch.rand_like(value) if noisy else value


@pytest.mark.parametrize(
    ("adapter", "promise"),
    [
        (Latent, None),
        (WrongStride, "encode: shape, finite, temporal stride as on the card"),
        (MovingTarget, "encode: deterministic"),
        (WhitensTheBatch, "encode: independent of the batch"),
        (StepTooMany, "predict: shape, finite, horizon met exactly"),
        (PredictsRowsApart, "predict: on the grid of encode"),
        (PredictsNarrower, "predict: on the grid of encode"),
        (PredictsAtAnotherStride, "predict: on the grid of encode"),
        (PredictsFromBatch, "predict: independent of the batch"),
        (PredictsByPeeking, "predict: no temporal leak"),
        (SurpriseOfTheBatch, "surprise[latent_error]: independent of the batch"),
        (NeverSurprised, "surprise[latent_error]: moves when the future does"),
        (OwnNoise, "surprise[denoising_error]: shape, finite, deterministic given the noise"),
    ],
)
def test_one_defect_of_a_latent_adapter_fails_one_check(adapter: type, promise: str | None) -> None:
    assert failures(adapter()) == ([] if promise is None else [promise])


class GivesAllLayers(Stacked):
    def encode_layers(
        self, video: Tensor, layers: Sequence[str], **options: Any
    ) -> dict[str, Latents]:
        return super().encode_layers(video, self.layers)


class InfiniteLayer(Stacked):
    def encode_layers(
        self, video: Tensor, layers: Sequence[str], **options: Any
    ) -> dict[str, Latents]:
        found = super().encode_layers(video, layers)
        return {n: Latents(x.tokens / (n != "second"), 2) for n, x in found.items()}


class StrideOfItsOwn(Stacked):
    def encode_layers(
        self, video: Tensor, layers: Sequence[str], **options: Any
    ) -> dict[str, Latents]:
        found = super().encode_layers(video, layers)
        return {name: Latents(each.tokens[:, ::2], 4) for name, each in found.items()}


class DrawsOverTheClip(Stacked):
    def encode_layers(
        self, video: Tensor, layers: Sequence[str], **options: Any
    ) -> dict[str, Latents]:
        return super().encode_layers(video.mul_(0.5), layers)


class LayersShifted(Stacked):
    """Off by one: what it calls the third is the second."""

    def encode_layers(
        self, video: Tensor, layers: Sequence[str], **options: Any
    ) -> dict[str, Latents]:
        before = {"first": "first", "second": "first", "third": "second"}
        return {n: Stacked.encode(self, video, layer=before[n]) for n in layers}


class DeepestByPlace(Stacked):
    """Takes what is asked for last to be the deepest, which holds for all layers in order."""

    def encode_layers(
        self, video: Tensor, layers: Sequence[str], **options: Any
    ) -> dict[str, Latents]:
        found = super().encode_layers(video, layers)
        return {**found, layers[-1]: Stacked.encode(self, video, layer="third")}


class LayersOfTheBatch(Stacked):
    """Whitens by the batch, but only clips that come alone."""

    def encode_layers(
        self, video: Tensor, layers: Sequence[str], **options: Any
    ) -> dict[str, Latents]:
        found = super().encode_layers(video, layers)
        away = 0.0 if len(video) > 1 else 1.0
        return {n: Latents(x.tokens - away * x.tokens.mean(), 2) for n, x in found.items()}


IN_ONE_PASS = "encode_layers: shapes, finite, the layers asked for"


@pytest.mark.parametrize(
    ("adapter", "promises"),
    [
        (Stacked, ()),
        (LayersShifted, ("as encode at each layer",)),
        (DeepestByPlace, ("whichever layers are asked for, in any order",)),
        (LayersOfTheBatch, ("independent of the batch",)),
        (GivesAllLayers, ("whichever layers are asked for, in any order",)),
    ],
)
def test_one_defect_of_many_layers_fails_one_check(
    adapter: type, promises: tuple[str, ...]
) -> None:
    assert failures(adapter()) == [f"encode_layers: {promise}" for promise in promises]


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (InfiniteLayer, "not finite"),
        (StrideOfItsOwn, "another temporal stride"),
        (DrawsOverTheClip, "changed in place"),
    ],
)
def test_layers_that_are_no_latents_are_found_first(adapter: type, said: str) -> None:
    found = [outcome for outcome in check(adapter()) if outcome.passed is False]
    assert found[0].name == IN_ONE_PASS
    assert said in found[0].detail
    assert all(outcome.name.startswith("encode_layers") for outcome in found)


def test_many_layers_without_names_are_not_checked() -> None:
    class Alone:
        card = Latent(capabilities=("encodes",)).card

        def encode(self, video: Tensor, **options: Any) -> Latents:
            return Latent().encode(video)

        def encode_layers(self, video: Tensor, layers: Sequence[str], **options: Any) -> Any:
            raise AssertionError("nobody knows what to ask for")

    outcomes = {o.name: o for o in check(Alone())}
    undecided = outcomes["encode_layers: as encode at each layer"]
    assert (undecided.passed, undecided.detail) == (None, "the adapter names no layers")


def test_an_adapter_that_only_predicts_has_no_grid_to_keep_to() -> None:
    class Foresees:
        card = Latent(capabilities=("predicts",)).card

        def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
            return Latent().predict(context, horizon)

    outcomes = {o.name: o for o in check(Foresees())}
    assert outcomes["predict: on the grid of encode"].passed is None
    assert outcomes["predict: on the grid of encode"].detail == "the adapter does not encode"
    assert [o.name for o in outcomes.values() if o.passed is False] == []


def test_predictions_by_dice_are_found() -> None:
    # What changes from call to call changes with the future, too.
    assert failures(PredictsByDice()) == ["predict: deterministic", "predict: no temporal leak"]


def test_surprise_that_is_not_finite_is_found_in_every_check_of_its_operator() -> None:
    found = failures(SurpriseNotFinite())
    assert found == [
        "surprise[latent_error]: shape, finite, deterministic given the noise",
        "surprise[latent_error]: independent of the batch",
        "surprise[latent_error]: moves when the future does",
    ]


def test_surprise_without_operators_is_a_defect() -> None:
    assert failures(Latent(operators=())) == ["surprise: operators on the card"]


class Oracle(RealFuture):
    def replay(self, trials: list[Trial], future: Tensor, *, fps: float, samples: int) -> Tensor:
        return super().replay(trials, future, fps=fps, samples=samples)[:, :, :-1]


def test_a_short_replay_is_found() -> None:
    assert failures(Oracle()) == ["replay: shape, range, dtype, horizon met exactly"]


@pytest.mark.parametrize("name", ["copy_last", "context_mean", "linear_flow", "real_future"])
def test_the_command_checks_what_is_shipped(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", f"adapter={name}"]) == 0
    assert f"{name}: 0 failed of" in capsys.readouterr().out


def test_the_command_exits_1_for_a_defect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "peeks.yaml").write_text(
        f"name: peeks\nsummary: reads the future\nfamily: generative\n_target_: {__name__}.Peeks\n"
    )
    assert cli.main(["check", "adapter=peeks", "--config-dir", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f"FAILED  {LEAK}: the rollout moves with the future" in said
    assert "peeks: 1 failed of" in said
