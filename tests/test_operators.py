import pytest
import torch

from worldbench.data.worlds.families import family
from worldbench.data.worlds.quads import make_quad
from worldbench.metrics import effnet
from worldbench.operators import feature_maps, sample_distance


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    """A body crossing the view, and the same scene without it: ``2 t 3 h w``."""
    spec = next(
        iter(family("occluder_pass").specs(1, 0, split="calibration", factors={"motion": "steady"}))
    )
    quad = make_quad(spec, "never_there")
    videos = torch.stack([torch.from_numpy(video) for video in quad.videos])
    return videos.permute(0, 1, 4, 2, 3).float() / 255


def _visible(clips: torch.Tensor) -> list[int]:
    changed = (clips[0] - clips[1]).abs().amax(dim=1).gt(0.03).float().mean(dim=(1, 2))
    return [i for i, share in enumerate(changed.tolist()) if share > 0.01]


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(sample_distance(a[None, None], b[None], 2).mean())


def test_a_clip_is_at_no_distance_from_itself(clips: torch.Tensor) -> None:
    values = sample_distance(clips[:, None, :6], clips[:, :6], 2)
    assert values.shape == (2, 3)
    assert not values.any()


def test_an_object_that_is_missing_or_further_off_is_further_away(clips: torch.Tensor) -> None:
    seen = _visible(clips)
    still, shown = clips[1, seen], clips[0, seen]
    assert _distance(shown, still) > 0.5
    by_shift = []
    for shift in (1, 2, 3):
        pairs = [i for i in seen if i + shift in seen]
        later = [i + shift for i in pairs]
        by_shift.append(_distance(clips[0, pairs], clips[0, later]))
    assert by_shift == sorted(by_shift)
    assert by_shift[0] > 0.3


def test_worse_pictures_are_further_away(clips: torch.Tensor) -> None:
    noise = torch.randn(clips[0].shape, generator=torch.Generator().manual_seed(0))
    ladder = [_distance((clips[0] + s * noise).clamp(0, 1), clips[0]) for s in (0.02, 0.05, 0.1)]
    assert ladder == sorted(ladder)
    assert ladder[0] > 0


def test_samples_and_frames_of_a_step_are_averaged(clips: torch.Tensor) -> None:
    future, samples = clips[:1, :5], torch.stack([clips[1, :5], clips[0, 4:9]])[None]
    frame_by_frame = sample_distance(samples, future, 1)
    each = [sample_distance(samples[:, k : k + 1], future, 1) for k in range(2)]
    torch.testing.assert_close(frame_by_frame, sum(each) / 2)
    by_step = sample_distance(samples, future, 2)[0]
    frames = frame_by_frame[0]
    expected = torch.stack([frames[:2].mean(), frames[2:4].mean(), frames[4]])
    torch.testing.assert_close(by_step, expected)


def test_precision_of_the_model_does_not_move_the_space(clips: torch.Tensor) -> None:
    plain = sample_distance(clips[:1, None, :4], clips[1:, :4], 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sample_distance(clips[:1, None, :4], clips[1:, :4], 2), plain)


def test_the_space_is_the_eleventh_map_of_the_encoder(clips: torch.Tensor) -> None:
    network = effnet.load()
    frames = torch.nn.functional.interpolate(
        torch.stack([clips[0, 5], clips[1, 5]]), (128, 128), mode="bilinear", antialias=True
    )
    a, b = network.map_after(2 * frames - 1, 11).double()
    assert a.shape == (112, 8, 8)
    expected = float((a - b).norm()) / (112 * 64) ** 0.5
    assert _distance(clips[0, 5:6], clips[1, 5:6]) == pytest.approx(expected, rel=1e-5)


def test_feature_maps_are_a_grid_of_tokens_per_frame(clips: torch.Tensor) -> None:
    maps = feature_maps(clips[:, :5])
    assert maps.shape == (2, 5, 8, 8, 112)
    assert maps.dtype == torch.float32
    network = effnet.load()
    frame = torch.nn.functional.interpolate(
        clips[1, 3:4], (128, 128), mode="bilinear", antialias=True
    )
    expected = network.map_after(2 * frame - 1, 11)[0].permute(1, 2, 0)
    torch.testing.assert_close(maps[1, 3], expected, rtol=1e-4, atol=1e-4)
    assert not maps.requires_grad


def test_where_something_changes_is_where_the_maps_change_most(clips: torch.Tensor) -> None:
    frame = clips[1, None, :1].clone()
    painted = frame.clone()
    painted[..., 40:56, 8:24] = 1 - painted[..., 40:56, 8:24]
    change = (feature_maps(painted) - feature_maps(frame)).abs().sum(dim=-1)[0, 0]
    row, column = divmod(int(change.argmax()), 8)
    assert row in (5, 6)
    assert column in (1, 2)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_distance_is_the_root_mean_square_over_the_maps(
    clips: torch.Tensor, stride: int
) -> None:
    future = clips[:, 4:8]
    samples = torch.stack([clips[:, 6:10], clips.flip(0)[:, 4:8]], dim=1)
    came = feature_maps(future).double()
    expected = []
    for i in range(2):
        frames = []
        for t in range(4):
            gaps = [
                float((feature_maps(samples[i : i + 1, k])[0, t].double() - came[i, t]).norm())
                for k in range(2)
            ]
            frames.append(sum(gaps) / len(gaps) / (8 * 8 * 112) ** 0.5)
        parts = [frames[t : t + stride] for t in range(0, 4, stride)]
        expected.append([sum(part) / len(part) for part in parts])
    found = sample_distance(samples, future, stride)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=1e-5, atol=1e-7)
