import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from worldbench_models.diagnostics import BASELINES
from worldbench_models.jepa import heldout
from worldbench_models.jepa.heldout import CONTEXTS, HeldOut, warnings_of
from worldbench_models.jepa.loss import PredictionLoss
from worldbench_models.jepa.network import JEPA
from worldbench_models.jepa.recipe import JEPARecipe
from worldbench_models.motion import MotionClips
from worldbench_models.patches import patchify_bytes

Network = Callable[..., JEPA]


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


def test_an_ordinary_network_is_measured_in_every_way(
    random_network: Network, drawn: list[int]
) -> None:
    measure, network = HeldOut(), random_network()
    found = measure.measure(network, clips(32))
    assert found.keys() == {"feature_std", "rank_me", "skill", "ridge_r2"}
    assert found["skill"].keys() == {str(context) for context in CONTEXTS}
    assert all(list(by) == list(BASELINES) for by in found["skill"].values())
    # Where a square is can be read off any network; eight test clips say so roughly.
    assert 0.5 < found["ridge_r2"]["position"] <= 1
    assert found["ridge_r2"]["velocity"] < 1
    assert measure.measure(network, clips(32)) == found
    assert drawn == [32]  # once: they take a while


def test_of_fewer_than_32_clips_nothing_is_read_off(
    random_network: Network, drawn: list[int]
) -> None:
    found = HeldOut().measure(random_network(), clips(31))
    assert found.keys() == {"feature_std", "rank_me", "skill"}
    assert drawn == []


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


GOOD = {
    "feature_std": 0.6,
    "rank_me": 40.0,
    "skill": {"4": dict.fromkeys(BASELINES, 0.5), "8": dict.fromkeys(BASELINES, 0.0)},
}


def test_healthy_latents_are_not_warned_of() -> None:
    assert warnings_of(GOOD, 256) == []


@pytest.mark.parametrize(
    ("worse", "said"),
    [
        ({"feature_std": 0.09}, "feature std 0.090 is below 0.1"),
        ({"rank_me": 7.9}, "RankMe 7.9 of 256 clips is below 8"),
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
