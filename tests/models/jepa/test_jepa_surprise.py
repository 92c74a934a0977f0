"""Quads spliced from clips that are alike in a stretch, and a network that heeds no context."""

from pathlib import Path

import pytest
import torch

from worldbench.noise import TrialNoise
from worldbench.stats import pair_score
from worldbench_models.jepa.adapter import JEPAAdapter
from worldbench_models.jepa.estimator import Estimator
from worldbench_models.jepa.network import JEPA
from worldbench_models.jepa.surprise import latent_error
from worldbench_models.patches import patchify
from worldbench_models.weights import load_weights, save_weights

QUADS = 4


class Following(Estimator):
    """Foresees steps that grow by 1 from the last one.

    Latents are the patches, and 100 more for each step that they are encoded together with before.
    """

    def __init__(self, length: int) -> None:
        self.length = length

    def encode(self, patches: torch.Tensor, depth: int | None = None) -> torch.Tensor:
        assert patches.shape[1] <= self.length
        return patches + 100 * torch.arange(patches.shape[1])[:, None, None, None]

    def foresee(self, context: torch.Tensor, steps: int) -> torch.Tensor:
        assert context.shape[1] + steps <= self.length
        last = context[:, -1:] - 100 * (context.shape[1] - 1)
        return last + 1 + 101 * torch.arange(steps)[:, None, None, None]


@pytest.fixture
def constant(checkpoint: Path, tmp_path: Path) -> JEPAAdapter:
    """Predicts the same whatever the context; its encoder is as it was."""
    weights, path = load_weights(checkpoint, model="jepa"), tmp_path / "constant.safetensors"
    for name, value in weights.state.items():
        if name.startswith("predictor.") and name != "predictor.latent_out.bias":
            value.zero_()
    save_weights(path, weights.state, weights.header)
    return JEPAAdapter(weights=str(path))


def _quads(frames: int, context: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns impossible and possible clips, ``quad 2 t c h w``, alike where the context ends."""
    generator = torch.Generator().manual_seed(0)
    possible = torch.rand(QUADS, 2, frames, 3, 32, 32, generator=generator)
    hidden = slice(context - 2, context + 2)
    possible[:, 1, hidden] = possible[:, 0, hidden]
    impossible = torch.cat([possible[:, :, :context], possible.flip(1)[:, :, context:]], dim=2)
    return impossible, possible


def _scores(adapter: JEPAAdapter, operator: str, frames: int, context: int) -> list[float]:
    def sums(clips: torch.Tensor) -> torch.Tensor:
        bank = TrialNoise([f"quad{i // 2}" for i in range(2 * QUADS)])
        values = adapter.surprise(clips.flatten(0, 1), context, operator=operator, noise=bank)
        return values.reshape(QUADS, -1)

    impossible, possible = (sums(clips).numpy() for clips in _quads(frames, context))
    return [pair_score(*pair) for pair in zip(impossible, possible, strict=True)]


@pytest.mark.parametrize(("frames", "context"), [(8, 4), (7, 4), (14, 6), (24, 12)])
def test_a_predictor_that_heeds_no_context_ties_every_quad(
    frames: int, context: int, constant: JEPAAdapter
) -> None:
    clips = torch.rand(2, 6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    alike = constant.predict(clips, 4).tokens
    assert torch.equal(alike[0], alike[1])
    assert alike.any()
    assert _scores(constant, "latent_error", frames, context) == [0.5] * QUADS


def test_on_targets_that_have_seen_the_context_it_does_not_tie(constant: JEPAAdapter) -> None:
    assert 0.5 not in _scores(constant, "latent_error_fullclip", 8, 4)


def test_a_predictor_that_heeds_its_context_does_not_tie(checkpoint: Path) -> None:
    assert 0.5 not in _scores(JEPAAdapter(weights=str(checkpoint)), "latent_error", 8, 4)


@pytest.mark.parametrize("operator", ["latent_error", "latent_error_fullclip"])
def test_the_error_is_the_mean_absolute_one_of_each_latent_step(
    operator: str, checkpoint: Path, network: JEPA
) -> None:
    adapter = JEPAAdapter(weights=str(checkpoint))
    clip = torch.rand(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    foreseen = network.predict(network.encode(patchify(2 * clip - 1)[:, :2]), 2)
    alone, whole = adapter.encode(clip[:, 4:]).tokens, adapter.encode(clip).tokens[:, 2:]
    target = whole if operator == "latent_error_fullclip" else alone
    assert not torch.allclose(alone, whole)
    expected = (foreseen - target).abs().double().mean(dim=(2, 3, 4))
    seen = adapter.surprise(clip, 4, operator=operator, noise=TrialNoise(["a", "b"]))
    assert seen.dtype == torch.float64
    torch.testing.assert_close(seen, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("context", [1, 2, 6])
def test_clips_longer_than_a_window_are_predicted_from_their_true_past(context: int) -> None:
    clip = torch.arange(11.0)[None, :, None, None, None].expand(2, 11, 2, 2, 6).clone()
    assert not latent_error(Following(4), clip, context).any()
    clip[:, 8] += 3
    error = latent_error(Following(4), clip, context)
    assert error.shape == (2, 11 - context)
    assert float(error[0, 8 - context]) == 3
    assert not error[:, : 8 - context].any()


def test_the_published_target_has_seen_the_past_of_its_window() -> None:
    clip = torch.arange(9.0)[None, :, None, None, None].expand(1, 9, 2, 2, 6)
    error = latent_error(Following(4), clip, 3, fullclip=True)
    # Windows of (past, future) steps: (2, 2), (2, 2), (2, 2).
    assert error.tolist() == [[200.0] * 6]
