import itertools
import pickle

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from worldbench.errors import ContractError
from worldbench.metrics import FramePSNR, FrameSSIM, frame_psnr, frame_ssim
from worldbench.metrics import frame as module


def video(seed: int, b: int = 2, t: int = 3, h: int = 24, w: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(b * t, 3, h // 4, w // 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (h, w), mode="bilinear")
    return smooth.unflatten(0, (b, t))


def noisy(clip: Tensor, sigma: float) -> Tensor:
    noise = torch.randn(clip.shape, generator=torch.Generator().manual_seed(99))
    return (clip + sigma * noise).clamp(0, 1)


def test_psnr_agrees_with_numpy_frame_by_frame() -> None:
    truth = video(0)
    rollout = noisy(truth, 0.1)
    squared = (rollout.double() - truth.double()).numpy() ** 2
    expected = -10 * np.log10(squared.mean(axis=(2, 3, 4)))
    np.testing.assert_allclose(frame_psnr(rollout, truth).numpy(), expected, rtol=1e-6)


def test_psnr_of_a_constant_offset_is_known() -> None:
    truth = torch.full((1, 2, 3, 16, 16), 0.25)
    assert frame_psnr(truth + 0.25, truth).tolist() == [pytest.approx([12.0412, 12.0412], abs=1e-4)]


def test_psnr_of_equal_frames_is_the_ceiling_of_8_bit_video() -> None:
    truth = video(1)
    assert pytest.approx(58.9226, abs=1e-4) == module.PSNR_CEILING
    assert frame_psnr(truth, truth).unique().tolist() == [module.PSNR_CEILING]
    one_level_off = frame_psnr(truth * 0.5 + 1 / 255, truth * 0.5)
    assert one_level_off.mean() == pytest.approx(48.1308, abs=1e-3)


def structural_similarity_by_frame(rollout: Tensor, truth: Tensor) -> list[float]:
    return [
        structural_similarity(
            a.double().numpy(),
            b.double().numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=0,
        )
        for a, b in zip(rollout.flatten(0, 1), truth.flatten(0, 1), strict=True)
    ]


def test_ssim_agrees_with_scikit_image_frame_by_frame() -> None:
    truth = video(2, h=32, w=21 * 4)
    rollout = noisy(truth, 0.15)
    expected = structural_similarity_by_frame(rollout, truth)
    values = frame_ssim(rollout, truth).flatten().numpy()
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6)


def test_ssim_of_flat_frames_is_the_luminance_term() -> None:
    a, b, c1 = 0.2, 0.6, 0.01**2
    frames = torch.ones(1, 1, 3, 16, 16, dtype=torch.float64)
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert float(frame_ssim(a * frames, b * frames)) == pytest.approx(expected, abs=1e-4)
    assert float(frame_ssim(a * frames, a * frames)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("score", [frame_psnr, frame_ssim])
def test_more_noise_scores_lower(score: object) -> None:
    truth = video(3)
    ladder = [float(score(noisy(truth, s), truth).mean()) for s in (0, 0.02, 0.05, 0.2, 0.6)]
    assert all(a > b for a, b in itertools.pairwise(ladder))


@pytest.mark.parametrize("score", [frame_psnr, frame_ssim])
def test_chunks_do_not_change_scores(score: object, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = video(4, b=3, t=5)
    rollout = noisy(truth, 0.1)
    whole = score(rollout, truth)
    monkeypatch.setattr(module, "_CHUNK_VALUES", 3 * 24 * 32 * 4)
    torch.testing.assert_close(score(rollout, truth), whole, rtol=1e-6, atol=0)
    assert whole.shape == (3, 5)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.full((1, 1, 3, 12, 12), 1.5), "outside of"),
        (torch.full((1, 1, 3, 12, 12), -0.1), "outside of"),
        (torch.full((1, 1, 3, 12, 12), float("nan")), "outside of"),
        (torch.zeros(1, 1, 3, 10, 12), "smaller than the SSIM window"),
    ],
)
def test_unusable_videos_are_refused(bad: Tensor, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        frame_ssim(bad, torch.zeros_like(bad))


@pytest.mark.parametrize(("kind", "score"), [(FramePSNR, frame_psnr), (FrameSSIM, frame_ssim)])
class TestMetricClasses:
    def test_value_is_the_mean_over_clips_whatever_the_batches(
        self, kind: type, score: object
    ) -> None:
        truth = video(5, b=5)
        rollout = noisy(truth, 0.1)
        metric = kind()
        first = metric(rollout[:1], truth[:1])
        metric.update(rollout[1:], truth[1:])
        expected = float(score(rollout, truth).mean())
        assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)
        assert float(first) == pytest.approx(float(score(rollout[:1], truth[:1]).mean()), rel=1e-6)
        assert kind.higher_is_better

    def test_clips_of_different_length_count_alike(self, kind: type, score: object) -> None:
        a, b = video(6, b=1, t=2), video(7, b=1, t=5)
        metric = kind()
        for clip in (a, b):
            metric.update(noisy(clip, 0.1), clip)
        means = [float(score(noisy(clip, 0.1), clip).mean()) for clip in (a, b)]
        assert float(metric.compute()) == pytest.approx(sum(means) / 2, rel=1e-6)

    def test_merge_pickle_and_half_precision_keep_the_value(
        self, kind: type, score: object
    ) -> None:
        truth = video(8, b=4)
        rollout = noisy(truth, 0.2)
        left, right = kind(), kind()
        left.update(rollout[:3], truth[:3])
        right.update(rollout[3:], truth[3:])
        model = torch.nn.ModuleDict({"metric": left}).half().to(torch.bfloat16)
        model["metric"].set_dtype(torch.float16)
        assert left.total.dtype == torch.float64
        left.merge_state(pickle.loads(pickle.dumps(right)))
        expected = float(score(rollout, truth).mean())
        assert float(left.compute()) == pytest.approx(expected, rel=1e-6)
        left.reset()
        left.update(rollout, truth)
        assert left.total.dtype == torch.float64

    def test_no_clips_is_an_error_and_no_number(self, kind: type, score: object) -> None:
        with (
            pytest.warns(UserWarning, match="before the ``update``"),
            pytest.raises(ContractError, match="no clips"),
        ):
            kind().compute()


def test_ssim_of_nearly_white_frames_is_close_to_double_precision() -> None:
    truth = (1 - 0.01 * video(9)).clamp(0, 1)
    rollout = noisy(truth, 0.005)
    expected = structural_similarity_by_frame(rollout, truth)
    np.testing.assert_allclose(frame_ssim(rollout, truth).flatten(), expected, rtol=0, atol=2e-4)
