"""Network, loss, weight file, sampler and adapter together: eight clips learnt by heart."""

from pathlib import Path

import pytest
import torch

from worldbench.data.worlds.families import family
from worldbench.data.worlds.pictures.render import render_rgb
from worldbench.data.worlds.simulation import simulate
from worldbench.noise import TrialNoise
from worldbench_models.blocks import Size
from worldbench_models.dit.adapter import DiTAdapter
from worldbench_models.dit.flow import FlowLoss, draw_levels
from worldbench_models.dit.network import DiT
from worldbench_models.patches import VALUES
from worldbench_models.weights import save_weights

SIZE = Size(width=128, depth=2, heads=4, head=32, hidden=256)


def _moving_clips() -> torch.Tensor:
    """Of 48 clips the eight in which most moves after the context."""
    specs = family("train_random").specs(48, 0, size=32, frames=8)
    clips = render_rgb([simulate(spec) for spec in specs])
    change = (clips[:, 4:].float() - clips[:, 3:4]).square().mean(dim=(1, 2, 3, 4))
    return clips[change.argsort(descending=True)[:8]]


def _fitted(clips: torch.Tensor, steps: int) -> tuple[DiT, list[float]]:
    torch.manual_seed(0)
    network = DiT(SIZE)
    loss = FlowLoss(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 4e-3, total_steps=steps, pct_start=0.1
    )
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(steps):
        levels = draw_levels(8, 4, generator)
        noise = torch.randn(8, 4, 4, 4, VALUES, generator=generator)
        value = loss(clips, levels, noise, torch.zeros(8, dtype=torch.bool))
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(value.detach()))
    return network, losses


@pytest.mark.parametrize(
    ("steps", "share", "bar"),
    [(500, 0.4, 0.8), pytest.param(1500, 0.12, 0.3, marks=pytest.mark.slow)],
)
def test_eight_clips_are_learnt_by_heart_and_foreseen(
    steps: int, share: float, bar: float, tmp_path: Path
) -> None:
    clips = _moving_clips()
    network, losses = _fitted(clips, steps)
    assert sum(losses[-20:]) < share * sum(losses[:20])

    path = tmp_path / "dit-tiny.safetensors"
    header = {
        "model": "dit",
        "size": "tiny",
        "shape": vars(SIZE),
        "frames": 8,
        "fps": 8.0,
        "resolution": [32, 32],
        "training_data": "eight clips",
        "training_compute": f"{steps} steps",
        "licence": "Apache-2.0",
    }
    save_weights(path, network.state_dict(), header)
    adapter = DiTAdapter(weights=str(path))
    video = clips.permute(0, 1, 4, 2, 3).float() / 255
    future = video[:, 4:]
    rollout = adapter.generate(video[:, :4], 4, samples=1, seeds=list(range(8)))[:, 0]
    moved = (future - video[:, 3:4]).square().mean(dim=(2, 3, 4))
    error = (rollout - future).square().mean(dim=(2, 3, 4))
    assert float(error[:, -1].mean()) < bar * float(moved[:, -1].mean())

    # The future of another clip surprises more than its own.
    swapped = torch.cat([video[:, :4], future.roll(1, dims=0)], dim=1)
    bank = TrialNoise([f"trial{i}" for i in range(8)])
    for operator in ("denoising_error", "sample_distance"):
        own, other = (
            adapter.surprise(clip, 4, operator=operator, noise=bank).sum(dim=1)
            for clip in (video, swapped)
        )
        assert bool((own < other).all()), operator
