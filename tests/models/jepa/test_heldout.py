import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from worldbench.batches import to_video
from worldbench.noise import TrialNoise
from worldbench_models.diagnostics import BASELINES
from worldbench_models.gates.presence import measure_presence
from worldbench_models.gates.quads import MatchedQuad, presence_quads
from worldbench_models.jepa import heldout
from worldbench_models.jepa.adapter import JEPAAdapter
from worldbench_models.jepa.heldout import (
    CONTEXTS,
    HeldOut,
    alone_agreement,
    content_share,
    latents_of,
    warnings_of,
)
from worldbench_models.jepa.loss import PredictionLoss
from worldbench_models.jepa.network import JEPA
from worldbench_models.jepa.presence import CONDITIONS, Asked
from worldbench_models.jepa.recipe import JEPARecipe
from worldbench_models.motion import MotionClips
from worldbench_models.patches import FORMAT, patchify_bytes
from worldbench_models.training.pool import HELDOUT
from worldbench_models.weights import save_weights

Network = Callable[..., JEPA]

ALWAYS = {"feature_std", "rank_me", "content_share", "alone_agreement", "skill"}


def clips(count: int) -> Tensor:
    """Coloured noise over which a square moves."""
    generator = torch.Generator().manual_seed(0)
    shown = torch.randint(0, 256, (count, 1, 4, 4, 3), generator=generator, dtype=torch.uint8)
    shown = shown.repeat_interleave(16, 2).repeat_interleave(16, 3).repeat(1, 16, 1, 1, 1)
    return _with_squares(shown)[0]


def _with_squares(ground: Tensor) -> tuple[Tensor, Tensor]:
    """Draws a white square that crosses each clip, and says where it is in each latent step."""
    shown, count = ground.clone(), len(ground)
    generator = torch.Generator().manual_seed(1)
    start, end = (40 * torch.rand(2, count, 2, generator=generator) + 4).unbind(0)
    share = torch.linspace(0, 1, 16)[None, :, None]
    corner = (start[:, None] * (1 - share) + end[:, None] * share).round().long()
    for clip in range(count):
        for frame in range(16):
            x, y = corner[clip, frame].tolist()
            shown[clip, frame, y : y + 16, x : x + 16] = 255
    centre = (corner + 8).float() / 64
    return shown, centre.reshape(count, 8, 2, 2).mean(dim=2)


def moving(count: int) -> MotionClips:
    shown, position = _with_squares(torch.zeros(count, 16, 64, 64, 3, dtype=torch.uint8))
    velocity = torch.full_like(position, torch.nan)
    velocity[:, 1:] = position[:, 1:] - position[:, :-1]
    return MotionClips(shown, position, velocity)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many clips with a moving object were asked for, each time."""
    asked = []

    def single_object_clips(count: int, **_: object) -> MotionClips:
        asked.append(count)
        return moving(count)

    monkeypatch.setattr(heldout, "single_object_clips", single_object_clips)
    return asked


@pytest.fixture(scope="module")
def quads() -> list[MatchedQuad]:
    return presence_quads(4, workers=1, seed=HELDOUT.seed)


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch, quads: list[MatchedQuad]) -> list[tuple[int, int]]:
    """How many quads were asked for, and of what seed; no more than a few are made."""
    asked = []

    def few(count: int, *, seed: int) -> list[MatchedQuad]:
        asked.append((count, seed))
        return quads[:count]

    monkeypatch.setattr(heldout, "presence_quads", few)
    return asked


@pytest.mark.slow
def test_an_ordinary_network_is_measured_in_every_way(
    random_network: Network, drawn: list[int], hidden: list[tuple[int, int]]
) -> None:
    measure, network = HeldOut(), random_network()
    found = measure.measure(network, clips(32))
    assert found.keys() == {*ALWAYS, "ridge_r2", "presence"}
    assert list(found["skill"]) == ["2", "4", "6", "8", "10", "12", "14"]
    assert all(list(by) == list(BASELINES) for by in found["skill"].values())
    # Where a square is can be read off any network; eight test clips say so roughly.
    assert 0.5 < found["ridge_r2"]["position"] <= 1
    assert found["ridge_r2"]["velocity"] < 1
    assert found["presence"].keys() == {"occluded", "visible"}
    assert all(by.keys() == {"accuracy", "ties"} for by in found["presence"].values())
    assert measure.measure(network, clips(32)) == found
    assert drawn == [32]  # once: they take a while
    assert hidden == [(8, HELDOUT.seed)]  # as do these; the gates' begin with seed 0


def test_presence_is_what_the_adapter_of_the_same_weights_says_at_the_gates(
    random_network: Network,
    quads: list[MatchedQuad],
    drawn: list[int],
    hidden: list[tuple[int, int]],
    tmp_path: Path,
) -> None:
    network, words = random_network(seed=3), ("training_data", "training_compute", "licence")
    shape = {"encoder": vars(network.shape.encoder), "predictor": vars(network.shape.predictor)}
    header = {"model": "jepa", "size": "tiny", "shape": shape} | FORMAT | dict.fromkeys(words, "-")
    for parameter in network.parameters():
        parameter.copy_(parameter.bfloat16())  # as the file keeps them
    path = tmp_path / "jepa-tiny.safetensors"
    save_weights(path, network.state_dict(), header)
    adapter = JEPAAdapter(weights=str(path))
    found = HeldOut().measure(network, clips(32))["presence"]
    for condition in CONDITIONS:
        expected = measure_presence(adapter, quads, condition, operator="latent_error")
        assert expected.n == len(quads)
        assert found[condition] == {"accuracy": expected.value, "ties": (expected.ties or 0) / 4}
        asked, each = Asked(network), quads[0].condition(condition)
        video, noise = to_video(torch.from_numpy(np.stack(each.videos))), TrialNoise(["a", "b"])
        one, other = (
            by.surprise(video, 8, operator="latent_error", noise=noise) for by in (asked, adapter)
        )
        assert torch.equal(one, other)


def test_a_network_that_heeds_no_context_ties(
    random_network: Network, drawn: list[int], hidden: list[tuple[int, int]]
) -> None:
    network = random_network()
    network.predictor.latent_in.weight.zero_()
    found = HeldOut().measure(network, clips(32))
    assert found["presence"]["occluded"] == {"accuracy": 0.5, "ties": 1.0}


def test_of_fewer_than_32_clips_nothing_is_read_off_and_no_quad_is_asked(
    random_network: Network, drawn: list[int], hidden: list[tuple[int, int]]
) -> None:
    found = HeldOut().measure(random_network(), clips(31))
    assert found.keys() == ALWAYS
    assert drawn == hidden == []


def test_numbers_are_those_of_a_few_lines_of_numpy(random_network: Network) -> None:
    network, shown = random_network(), clips(8)
    found = HeldOut().measure(network, shown)
    latents = network.encode(patchify_bytes(shown)).double().numpy()
    tokens = latents.reshape(-1, latents.shape[-1])
    assert found["feature_std"] == pytest.approx(tokens[::7].std(axis=0, ddof=1).mean(), rel=1e-5)
    pooled = latents.mean(axis=(1, 2, 3))
    values = np.linalg.svd(pooled - pooled.mean(axis=0), compute_uv=False)[:7]
    share = values / values.sum()
    assert found["rank_me"] == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-4)
    within, total = latents.var(axis=0).mean(axis=(0, 1, 2)), tokens.var(axis=0)
    assert found["content_share"] == pytest.approx(within.sum() / total.sum(), rel=1e-5)
    alone = network.encode(patchify_bytes(shown[:, 8:])).double().numpy()
    moved, wide = np.abs(alone - latents[:, 4:]), np.abs(alone - alone.mean(axis=(0, 1, 2, 3)))
    assert found["alone_agreement"] == pytest.approx(1 - moved.mean() / wide.mean(), rel=1e-4)

    for context in CONTEXTS:
        seen, came = (
            network.encode(patchify_bytes(part))
            for part in (shown[:, :context], shown[:, context:])
        )
        foreseen = network.predict(seen[4:], came.shape[1]).numpy()
        past, future, last = came[:4].numpy(), came[4:].numpy(), seen[4:, -1:].numpy()
        frozen = shown[4:, context - 1 : context].expand(-1, 16 - context, -1, -1, -1)
        by_hand = {
            "mean": past.mean(axis=(0, 1, 2, 3)),
            "median": np.sort(past.reshape(-1, *past.shape[2:]), axis=0)[
                (past.shape[0] * past.shape[1] - 1) // 2
            ],
            "copy": last,
            "still": network.encode(patchify_bytes(frozen)).numpy(),
        }
        error = np.abs(foreseen - future).sum(dtype=np.float64)
        for name, baseline in by_hand.items():
            expected = 1 - error / np.abs(baseline - future).sum(dtype=np.float64)
            assert found["skill"][str(context)][name] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_collapsed_network_warns_loudly_and_ends_no_training(
    random_network: Network, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    network = random_network()
    for parameter in network.parameters():
        parameter.zero_()
    with caplog.at_level(logging.WARNING):
        found = HeldOut().measure(network, clips(count))
    assert found["rank_me"] <= 1
    if count == 1:
        assert found["skill"] == {}  # there is nothing to fit constants on
        return
    assert all("copy" not in by and "median" not in by for by in found["skill"].values())
    said = [record.message for record in caplog.records]
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert all(message.startswith("COLLAPSE?") for message in said)
    assert any("do not differ from median, copy" in message for message in said)
    if count == 8:
        assert any("RankMe" in message for message in said)


def test_skill_after_contexts_that_are_not_learnt_is_told_and_not_warned_of(
    random_network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    network = random_network()
    network.predictor.latent_out.bias.fill_(100.0)
    with caplog.at_level(logging.WARNING):
        found = HeldOut([4, 6]).measure(network, clips(4))
    assert all(by["copy"] < 0 for by in found["skill"].values())
    said = [message for message in caplog.messages if "frames predictions are worse" in message]
    assert [message.split("after ")[1].split(" frames")[0] for message in said] == ["4", "6"]


def test_the_recipe_warns_of_the_contexts_that_it_teaches() -> None:
    assert JEPARecipe()._heldout._trained == {"2", "4", "6", "8", "10", "12", "14"}
    assert JEPARecipe(contexts=[1, 7])._heldout._trained == {"2", "14"}


def test_latents_that_are_all_the_same_vary_too_little(
    random_network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    """Collapsed in tokens too: the last block says one large thing of everything."""
    network = random_network()
    network.encoder.patch_in.bias.copy_(1e6 * torch.linspace(-1, 1, 32))
    with caplog.at_level(logging.WARNING):
        found = HeldOut().measure(network, clips(4))
    assert found["feature_std"] < 0.1
    assert "feature std" in caplog.text


def test_latents_that_tell_where_and_when_alone_have_no_content() -> None:
    generator = torch.Generator().manual_seed(0)
    place = torch.randn(1, 8, 8, 8, 4, generator=generator)
    scene = torch.randn(64, 1, 1, 1, 4, generator=generator)
    assert content_share(place.expand(64, -1, -1, -1, -1)) == 0
    assert content_share(scene.expand(-1, 8, 8, 8, -1)) == pytest.approx(1)
    assert content_share(scene + place) == pytest.approx(0.5, abs=0.1)
    assert content_share(torch.ones(3, 8, 8, 8, 4)) == 0


def test_what_no_token_learns_from_others_is_the_same_alone(random_network: Network) -> None:
    network = random_network()
    seen = latents_of(network, clips(4))
    assert alone_agreement(network, clips(4), seen) < 0.999
    for block in network.encoder.blocks:
        block.attention.out.weight.zero_()  # type: ignore[union-attr,operator]
    seen = latents_of(network, clips(4))
    assert alone_agreement(network, clips(4), seen) == pytest.approx(1, abs=1e-5)


GOOD = {
    "feature_std": 0.6,
    "rank_me": 40.0,
    "skill": {"4": dict.fromkeys(BASELINES, 0.5), "8": dict.fromkeys(BASELINES, 0.0)},
}


def test_healthy_latents_are_not_warned_of() -> None:
    assert warnings_of(GOOD, 256) == []
    assert warnings_of(GOOD | {"alone_agreement": 0.5}, 256) == []


@pytest.mark.parametrize(
    ("worse", "said"),
    [
        ({"feature_std": 0.09}, "feature std 0.090 is below 0.1"),
        ({"rank_me": 7.9}, "RankMe 7.9 of 256 clips is below 8"),
        ({"alone_agreement": -0.4}, "the last half alone are far from those within the clip"),
        ({"skill": {"4": dict.fromkeys(BASELINES, 0.5) | {"copy": -0.1}}}, "after 4 frames"),
        ({"skill": {"8": dict.fromkeys(BASELINES, 0.5) | {"median": -0.1}}}, "after 8 frames"),
    ],
)
def test_each_sign_of_collapse_is_warned_of(worse: dict[str, object], said: str) -> None:
    (warning,) = warnings_of(GOOD | worse, 256)
    assert said in warning
    assert warning.startswith("COLLAPSE?")


@pytest.mark.parametrize(
    ("count", "healthy", "collapsed"), [(8, 4.3, 1.5), (16, 7.0, 3.0), (32, 10.2, 7.0)]
)
def test_few_clips_cannot_have_a_high_rank_and_are_not_expected_to(
    count: int, healthy: float, collapsed: float
) -> None:
    """The healthy ranks are those of untrained networks on clips of the worlds."""
    assert warnings_of(GOOD | {"rank_me": healthy}, count) == []
    (warning,) = warnings_of(GOOD | {"rank_me": collapsed}, count)
    assert f"of {count} clips" in warning


def test_the_recipe_measures_without_gradient_and_trains_nothing(random_network: Network) -> None:
    network = random_network().requires_grad_(True)
    objective = PredictionLoss(network, 0.8)
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    found = JEPARecipe().heldout(objective, clips(2))
    assert found == HeldOut().measure(network.requires_grad_(False), clips(2))
    assert all(torch.equal(before[name], t) for name, t in objective.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
