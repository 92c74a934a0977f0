from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from worldbench.adapter import Generates, Replays, capabilities
from worldbench.adapters.linear_flow import LinearFlow
from worldbench.adapters.real_future import RealFuture
from worldbench.adapters.still import ContextMean, CopyLast
from worldbench.answers import checked_rollout
from worldbench.batches import to_video
from worldbench.metrics.frame import frame_psnr
from worldbench.schema import Trial

BASELINES = (CopyLast, ContextMean, LinearFlow)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def rolled(adapter: Generates, context: Tensor, horizon: int, samples: int = 1) -> Tensor:
    return adapter.generate(context, horizon, samples=samples, seeds=range(len(context)))


def patches(moving_patch: Callable[..., np.ndarray], **options: object) -> Tensor:
    return to_video(torch.from_numpy(moving_patch(**options))[None])


@pytest.mark.parametrize("kind", BASELINES)
@pytest.mark.parametrize("horizon", [1, 5])
def test_a_baseline_returns_exactly_what_the_contract_asks_for(kind, horizon):
    adapter, context = kind(), noise(2, 3, 3, 24, 32)
    before = context.clone()
    rollout = rolled(adapter, context, horizon, samples=2)
    checked_rollout(
        adapter.card.name, "generate", rollout, batch=2, samples=2, horizon=horizon, size=(24, 32)
    )
    assert rollout.min() >= 0
    assert rollout.max() <= 1
    assert torch.equal(rollout[:, 0], rollout[:, 1])
    assert torch.equal(context, before)
    rollout.zero_()  # the answer is the caller's own: writing to it leaves the context alone
    assert torch.equal(context, before)


@pytest.mark.parametrize("kind", BASELINES)
def test_a_baseline_answers_each_clip_the_same_in_any_batch(kind):
    adapter, context = kind(), noise(4, 3, 3, 32, 32)
    together = rolled(adapter, context, 3)
    alone = torch.cat([rolled(adapter, clip[None], 3) for clip in context])
    assert torch.equal(together, alone)
    assert torch.equal(rolled(adapter, context.flip(0), 3).flip(0), together)


@pytest.mark.parametrize("kind", BASELINES)
def test_seeds_and_earlier_calls_do_not_change_a_baseline(kind):
    adapter, context = kind(), noise(1, 3, 3, 32, 32)
    first = adapter.generate(context, 2, samples=1, seeds=[0])
    rolled(adapter, noise(1, 3, 3, 32, 32, seed=9), 2)
    assert torch.equal(first, adapter.generate(context, 2, samples=1, seeds=[7]))


@pytest.mark.parametrize("kind", [*BASELINES, RealFuture])
def test_a_card_names_what_the_adapter_implements(kind):
    adapter = kind(name="another.name")
    assert adapter.card.name == "another.name"
    assert adapter.card.capabilities == capabilities(adapter)
    assert adapter.card.revision == kind().card.revision


def test_the_cards_of_all_baselines_differ():
    assert len({kind().card.revision for kind in (*BASELINES, RealFuture)}) == 4


def test_copy_last_repeats_the_last_frame():
    context = noise(2, 4, 3, 16, 16)
    rollout = rolled(CopyLast(), context, 3)
    assert all(torch.equal(rollout[:, 0, t], context[:, -1]) for t in range(3))


def test_context_mean_repeats_the_mean_frame():
    context = noise(2, 4, 3, 16, 16)
    rollout = rolled(ContextMean(), context, 3)
    expected = (context[:, 0] + context[:, 1] + context[:, 2] + context[:, 3]) / 4
    for t in range(3):
        torch.testing.assert_close(rollout[:, 0, t], expected)


@pytest.mark.parametrize("velocity", [(2, 1), (-1, 2), (3, 0)])
def test_linear_flow_foresees_a_patch_at_constant_velocity(moving_patch, velocity):
    start = (56 if velocity[0] < 0 else 16, 24)
    video = patches(
        moving_patch, seed=3, frames=10, size=96, patch=28, velocity=velocity, start=start
    )
    context, future = video[:, :4], video[:, 4:]
    flow = frame_psnr(rolled(LinearFlow(), context, 6)[:, 0], future)[0]
    copy = frame_psnr(rolled(CopyLast(), context, 6)[:, 0], future)[0]
    assert (flow[:2] > copy[:2] + 5).all(), (flow, copy)
    assert (flow > copy + 2).all(), (flow, copy)
    # What remains lies around the patch, where the flow is vague and the uncovered ground is not
    # known; the patch itself is where it belongs.
    for step in range(6):
        x, y = (s + v * (4 + step) for s, v in zip(start, velocity, strict=True))
        inside = (slice(None), slice(y + 6, y + 22), slice(x + 6, x + 22))
        error = rolled(LinearFlow(), context, 6)[0, 0, step][inside] - future[0, step][inside]
        assert error.square().mean() < 2e-4  # 37 dB; the texture's variance is 0.03


def test_linear_flow_leaves_a_static_clip_alone():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    still = to_video(torch.from_numpy(cv2.GaussianBlur(picture, (0, 0), 1))[None, None])
    rollout = rolled(LinearFlow(), still.expand(-1, 4, -1, -1, -1), 6)
    torch.testing.assert_close(rollout[:, 0], still.expand(-1, 6, -1, -1, -1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("velocity", [(2, 0), (0, -1), (-2, 1)])
def test_linear_flow_foresees_a_pan_away_from_the_border(velocity):
    side, steps = 96, 7
    picture = np.random.default_rng(5).standard_normal((side + 40, side + 40, 3))
    picture = cv2.GaussianBlur(picture, (0, 0), 1.5)
    picture = np.clip(0.5 + 0.18 * picture / picture.std(), 0, 1).astype(np.float32)
    frames = []
    for t in range(4 + steps):
        x, y = (20 - v * t for v in velocity)
        frames.append(picture[y : y + side, x : x + side])
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)[None]
    rollout = rolled(LinearFlow(), video[:, :4], steps)[:, 0]
    rim = 2 * steps + 10  # what pans into view is not known
    inside = (..., slice(rim, -rim), slice(rim, -rim))
    psnr = frame_psnr(rollout[inside], video[:, 4:][inside])
    assert psnr.min() > 30, psnr


def test_linear_flow_does_not_depend_on_the_number_of_threads():
    context, before = noise(2, 2, 3, 48, 48), cv2.getNumThreads()
    try:
        rollouts = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            rollouts.append(rolled(LinearFlow(), context, 2))
    finally:
        cv2.setNumThreads(before)
    assert torch.equal(*rollouts)


@pytest.mark.parametrize("shape", [(1, 1, 3, 32, 32), (1, 2, 3, 15, 32), (1, 2, 3, 32, 8)])
def test_linear_flow_says_which_contexts_it_cannot_use(shape):
    with pytest.raises(ValueError, match=r"≥ 2 frames of ≥ 16 pixels") as caught:
        rolled(LinearFlow(), noise(*shape), 2)
    assert str(shape) in str(caught.value)
    assert not LinearFlow().card.legal_context(1)


@pytest.mark.parametrize("size", [(16, 16), (16, 64), (17, 23)])
def test_linear_flow_takes_small_and_odd_frames(size):
    rollout = rolled(LinearFlow(), noise(1, 2, 3, *size), 2)
    assert rollout.shape == (1, 1, 2, 3, *size)
    assert rollout.isfinite().all()


def test_real_future_returns_the_truth_for_every_sample():
    future = noise(2, 5, 3, 16, 16)
    trials = [Trial("a", "a", ("a",)), Trial("b", "b", ("b",))]
    oracle = RealFuture()
    assert isinstance(oracle, Replays)
    oracle.require(trials, samples=3)
    rollout = oracle.replay(trials, future, fps=15.0, samples=3)
    assert rollout.shape == (2, 3, 5, 3, 16, 16)
    assert all(torch.equal(rollout[:, s], future) for s in range(3))
    rollout.zero_()
    assert future.any()
