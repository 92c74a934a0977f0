"""Similarities against numpy and loops; then a ladder of corruptions over rendered clips."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from worldbench.data.worlds.data import WorldData
from worldbench.data.worlds.pictures.render import Rendered, render
from worldbench.errors import ContractError, UsageError
from worldbench.metrics.reprojection import (
    Correspondence,
    anchored_skill,
    correspond,
    correspond_tokens,
    fit_path_speed,
    masked_ncc,
    token_cosine,
    warp,
)

HEIGHT, WIDTH = 24, 32


def smooth(seed: int, channels: int, low: float, high: float) -> Tensor:
    draw = torch.rand(1, channels, 4, 5, generator=torch.Generator().manual_seed(seed))
    size = (HEIGHT, WIDTH)
    full = torch.nn.functional.interpolate(draw.double(), size, mode="bicubic").clamp(0, 1)
    return low + (high - low) * full[0]


def centres(height: int, width: int, patch: int = 1) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns + 0.5, rows + 0.5], axis=-1).reshape(-1, 2) * patch


def some_mask(seed: int = 0) -> Tensor:
    return torch.rand(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed)) < 0.4


def test_ncc_agrees_with_numpys_correlation() -> None:
    a, b, mask = smooth(3, 3, 0, 1), smooth(4, 3, 0, 1), some_mask()
    for channel in range(3):
        x, y = a[channel : channel + 1], b[channel : channel + 1]
        expected = np.corrcoef(x[0][mask].numpy(), y[0][mask].numpy())[0, 1]
        assert masked_ncc(x, y, mask) == pytest.approx(expected, abs=1e-12)
    flat = [np.concatenate([c[mask] - c[mask].mean() for c in x.numpy()]) for x in (a, b)]
    assert masked_ncc(a, b, mask) == pytest.approx(np.corrcoef(*flat)[0, 1], abs=1e-12)


def test_ncc_sees_neither_brightness_nor_contrast_nor_tint() -> None:
    a, b, mask = smooth(3, 3, 0, 1), smooth(4, 3, 0, 1), some_mask()
    tint = torch.tensor([0.3, -0.2, 0.9])[:, None, None]
    expected = masked_ncc(a, b, mask)
    assert masked_ncc(0.1 * a + tint, b, mask) == pytest.approx(expected, abs=1e-12)
    assert masked_ncc(b, b, mask) == pytest.approx(1, abs=1e-12)
    assert masked_ncc(1 - b, b, mask) == pytest.approx(-1, abs=1e-12)


def test_pixels_outside_of_the_mask_do_not_count() -> None:
    a, b, mask = smooth(3, 3, 0, 1), smooth(4, 3, 0, 1), some_mask()
    expected = masked_ncc(a, b, mask)
    assert masked_ncc(a.masked_fill(~mask, torch.nan), b, mask) == expected


@pytest.mark.parametrize("level", [0.0, 0.1, 1 / 3, 1.0])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_flat_prediction_scores_zero_and_a_flat_truth_is_not_measured(
    level: float, kind: torch.dtype
) -> None:
    tint = torch.tensor([level, level / 2, level / 7], dtype=kind)[:, None, None]
    grey, mask = tint.expand(3, HEIGHT, WIDTH), some_mask()
    places = torch.from_numpy(centres(HEIGHT, WIDTH) + 0.3).reshape(HEIGHT, WIDTH, 2)
    assert masked_ncc(warp(grey, places), smooth(1, 3, 0, 1), mask) == 0.0
    assert masked_ncc(smooth(1, 3, 0, 1), grey.double(), mask) is None


def test_too_few_pixels_are_no_measurement() -> None:
    a, b = smooth(3, 3, 0, 1), smooth(4, 3, 0, 1)
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    mask.view(-1)[:31] = True
    assert masked_ncc(a, b, mask) is None
    assert masked_ncc(a, b, mask, min_pixels=31) is not None
    with pytest.raises(ContractError, match="not finite"):
        masked_ncc(a * torch.nan, b, ~mask)


def test_token_cosine_agrees_with_a_loop() -> None:
    size, mean = (16, 6, 8), torch.full((16,), 3.0)
    generator = torch.Generator().manual_seed(0)
    guess, real = (torch.randn(*size, generator=generator).double() + 3 for _ in range(2))
    places = torch.rand(6, 8, 2, generator=generator).double() * torch.tensor([7, 5]) + 0.5
    mask = torch.rand(6, 8, generator=generator) < 0.4
    values = []
    for row, column in mask.nonzero().tolist():
        x, y = places[row, column].numpy() - 0.5
        a = np.array([map_coordinates(c, [[y], [x]], order=1)[0] for c in guess.numpy()]) - 3
        b = real[:, row, column].numpy() - 3
        values.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert token_cosine(guess, real, places, mask, mean) == pytest.approx(
        np.mean(values), abs=1e-12
    )


def test_tokens_without_direction() -> None:
    """Predicted means score 0, real ones are left out, and what is left must be enough."""
    size, mean = (5, 4, 4), torch.tensor([7.0, -2.0, 0.3, 0.1, 11.0])
    real = torch.randn(*size, generator=torch.Generator().manual_seed(1)).double()
    places = torch.from_numpy(centres(4, 4)).reshape(4, 4, 2)
    every = torch.ones(4, 4, dtype=torch.bool)
    everywhere = mean[:, None, None].expand(size)
    assert token_cosine(real, real, places, every, mean) == pytest.approx(1, abs=1e-12)
    assert token_cosine(everywhere, real, places, every, mean) == 0.0
    half = torch.cat([everywhere[:, :2].double(), real[:, 2:]], dim=1)
    assert token_cosine(half, real, places, every, mean) == pytest.approx(0.5, abs=1e-12)
    assert token_cosine(real, half, places, every, mean) == pytest.approx(1, abs=1e-12)
    assert token_cosine(real, half, places, every, mean, min_tokens=9) is None


def test_skill_lies_between_the_copy_and_the_real_future() -> None:
    assert anchored_skill(0.5, 0.5, 0.9).value == 0
    assert anchored_skill(0.9, 0.5, 0.9).value == 1
    assert anchored_skill(0.0, 0.6, 1.0).value == pytest.approx(-1.5)


@pytest.mark.parametrize(
    ("scores", "error", "reason"),
    [
        ((None, 0.5, 0.9), 0.0, "not measured: rollout"),
        ((0.5, None, None), 0.0, "not measured: floor, ceiling"),
        ((0.5, 0.90, 0.94), 0.0, "0.05 needed"),
        ((0.5, 0.9, 0.5), 0.0, "0.05 needed"),
        ((0.5, 0.5, 0.9), 0.2, "standard errors"),
        ((0.5, 0.5, 0.9), None, "unknown"),
    ],
)
def test_skill_is_undefined_with_a_reason(
    scores: tuple[float | None, float | None, float | None], error: float | None, reason: str
) -> None:
    found = anchored_skill(*scores, standard_error=error)
    assert found.value is None
    assert reason in str(found.reason)


def test_the_fitted_speed_is_the_vertex_whatever_the_order_and_the_gaps() -> None:
    speeds = [0.2, 1.4, 0.75, 2.0, 0.9]
    scores = [0.9 - (s - 0.83) ** 2 for s in speeds]
    assert fit_path_speed(scores, speeds) == pytest.approx(0.83, abs=1e-12)
    uneven = [0.1, 0.8, 0.5, 0.2, 0.6]
    ranked = sorted(zip(speeds, uneven, strict=True))[2:]  # the best, 1.4, and its neighbours
    a, b, _ = np.polyfit(*zip(*ranked, strict=True), 2)
    assert fit_path_speed(uneven, speeds) == pytest.approx(-b / (2 * a), abs=1e-9)
    assert fit_path_speed([None, *scores], [0.83, *speeds]) == pytest.approx(0.83, abs=1e-12)


def test_the_fitted_speed_never_leaves_what_was_measured() -> None:
    assert fit_path_speed([0.1, 0.5, 0.9], [0.0, 1.0, 2.0]) == 2
    assert fit_path_speed([0.9, None, 0.1], [0.0, 1.0, 2.0]) == 0
    assert fit_path_speed([0.5, 0.7, 0.7, 0.5], [0.0, 1.0, 2.0, 3.0]) == pytest.approx(1.5)


def test_no_speed_fits_where_nothing_was_measured_or_all_is_equal() -> None:
    assert fit_path_speed([None, None], [0.0, 1.0]) is None
    assert fit_path_speed([None, 0.3], [0.0, 1.0]) is None
    assert fit_path_speed([0.0, 0.0, 0.0], [0.0, 1.0, 2.0]) is None
    for scores, speeds in (
        ([0.1], [0.0, 1.0]),
        ([0.1, 0.2], [1.0, 1.0]),
        ([0.1, 0.2], [0.0, math.inf]),
    ):
        with pytest.raises(UsageError, match="speed"):
            fit_path_speed(scores, speeds)


CONTEXT = 8
FAMILIES = ("static_orbit", "dolly", "truck")
Change = Callable[[Tensor, int], Tensor]


def bent(share: float) -> Change:
    """Displaces what is seen by a smooth random field of this share of the frame's side, rms."""

    def change(frame: Tensor, step: int) -> Tensor:
        side = frame.shape[-1]
        noise = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(step)).double()
        field = torch.nn.functional.interpolate(noise, frame.shape[-2:], mode="bicubic")[0]
        field = field / field.square().sum(dim=0).mean().sqrt() * share * side
        own = torch.from_numpy(centres(side, side)).reshape(side, side, 2)
        return warp(frame, own + field.permute(1, 2, 0))

    return change


def blurred(sigma: float) -> Change:
    def change(frame: Tensor, _: int) -> Tensor:
        picture = frame.permute(1, 2, 0).contiguous().numpy()
        return torch.from_numpy(cv2.GaussianBlur(picture, (0, 0), sigma)).permute(2, 0, 1)

    return change


CHANGES: dict[str, Change] = {
    "real": lambda frame, _: frame,
    "bent 1 %": bent(0.01),
    "bent 3 %": bent(0.03),
    "bent 6 %": bent(0.06),
    "blur 1 px": blurred(1),
    "blur 2 px": blurred(2),
    "blur 4 px": blurred(4),
    "blur 8 px": blurred(8),
    "faint": lambda frame, _: 0.2 * frame + 0.4,
    "grey": lambda frame, _: torch.full_like(frame, 0.5),
    "black": lambda frame, _: torch.zeros_like(frame),
}


@dataclass
class Clip:
    """A rendered clip and the correspondences of its last context frame with its future."""

    video: Tensor
    matches: Correspondence

    @classmethod
    def of(cls, clip: Rendered) -> "Clip":
        video = clip.rgb.permute(0, 3, 1, 2).double() / 255
        future, last = slice(CONTEXT, None), slice(CONTEXT - 1, CONTEXT)
        count = len(video) - CONTEXT
        depth, pose = (x[last].expand(count, -1, -1) for x in (clip.depth, clip.camera_c2w))
        return cls(
            video, correspond(depth, clip.K, pose, clip.depth[future], clip.camera_c2w[future])
        )

    def score(self, rollout: Tensor) -> float:
        """Mean NCC over the future frames that are displaced enough to be measured."""
        warped, real = warp(rollout, self.matches.places), self.video[CONTEXT - 1]
        pairs = zip(warped, self.matches.mask, strict=True)
        values = [masked_ncc(frame, real, mask) for frame, mask in pairs]
        return float(np.mean([v for v in values if v is not None]))

    def changed(self, change: Change) -> Tensor:
        return torch.stack([change(frame, j) for j, frame in enumerate(self.video[CONTEXT:])])


@pytest.fixture(scope="module")
def data() -> WorldData:
    return WorldData("consistency3d_quick", workers=1)


@pytest.fixture(scope="module")
def clips(data: WorldData) -> dict[str, list[Clip]]:
    named = {family: (f"{family}/0000", f"{family}/0001") for family in FAMILIES}
    return {f: [Clip.of(render(data.track(i))) for i in ids] for f, ids in named.items()}


@pytest.fixture(scope="module")
def ladder(clips: dict[str, list[Clip]]) -> dict[str, dict[str, float]]:
    """Skill of every corruption by family, of means over clips."""
    return {family: skills(some) for family, some in clips.items()}


def skills(some: list[Clip]) -> dict[str, float]:
    def mean(rollout: Callable[[Clip], Tensor]) -> float:
        return float(np.mean([clip.score(rollout(clip)) for clip in some]))

    floor, ceiling = mean(frozen), mean(lambda clip: clip.video[CONTEXT:])
    out = {"frozen": anchored_skill(mean(frozen), floor, ceiling).value}
    for name, change in CHANGES.items():
        value = mean(lambda clip, change=change: clip.changed(change))
        out[name] = anchored_skill(value, floor, ceiling).value
    return {name: value for name, value in out.items() if value is not None}


def frozen(clip: Clip) -> Tensor:
    return clip.video[CONTEXT - 1 : CONTEXT].expand(len(clip.video) - CONTEXT, -1, -1, -1)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_real_future_nearly_reaches_one_and_the_copy_stays_far_below(
    clips: dict[str, list[Clip]], family: str
) -> None:
    for clip in clips[family]:
        assert clip.score(clip.video[CONTEXT:]) > 0.97
        assert clip.score(frozen(clip)) < 0.85


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "rungs",
    [
        ("real", "bent 1 %", "bent 3 %", "bent 6 %", "grey"),
        ("real", "blur 1 px", "blur 2 px", "blur 4 px", "blur 8 px", "grey"),
        ("real", "bent 1 %", "bent 3 %", "blur 8 px", "black"),
    ],
)
def test_the_worse_the_future_the_lower_its_skill(
    ladder: dict[str, dict[str, float]], family: str, rungs: tuple[str, ...]
) -> None:
    values = [ladder[family][rung] for rung in rungs]
    assert all(a > b for a, b in itertools.pairwise(values)), values


@pytest.mark.parametrize("family", FAMILIES)
def test_known_futures_have_known_skills(ladder: dict[str, dict[str, float]], family: str) -> None:
    found = ladder[family]
    assert len(found) == len(CHANGES) + 1
    assert found["frozen"] == 0.0
    assert found["real"] == 1.0
    assert found["faint"] == pytest.approx(1, abs=1e-12)
    assert found["grey"] == found["black"] < -0.1
    assert max(value for name, value in found.items() if name != "faint") == 1.0


def test_a_thing_that_slides_costs_skill(data: WorldData, clips: dict[str, list[Clip]]) -> None:
    """Things of the first orbit slide apart by 8 cm a frame from the end of the context on."""
    track, clip = data.track("static_orbit/0000"), clips["static_orbit"][0]
    position = track.pos.copy()
    late = np.maximum(np.arange(track.frames) - CONTEXT + 1, 0)[:, None]
    for slot in range(track.slots):
        position[:, slot, slot % 2] += (0.08 * late * (1 - slot // 2 % 2 * 2))[:, 0]
    slid = render(replace(track, pos=position)).rgb.permute(0, 3, 1, 2).double() / 255
    scores = [clip.score(x) for x in (frozen(clip), slid[CONTEXT:], clip.video[CONTEXT:])]
    assert scores[0] < scores[1] < scores[2] - 0.02


def tokens(video: Tensor, patch: int) -> Tensor:
    """Stands in for latents: mean colour and mean gradient of each patch."""
    right, down = (
        video.diff(dim=-1, append=video[..., -1:]),
        video.diff(dim=-2, append=video[..., -1:, :]),
    )
    return torch.nn.functional.avg_pool2d(torch.cat([video, right, down], dim=1), patch)


def test_tokens_of_the_real_future_agree_better_than_copied_ones(data: WorldData) -> None:
    clip, patch = render(data.track("static_orbit/0000")), 4
    grid = tokens(clip.rgb.permute(0, 3, 1, 2).double() / 255, patch)
    mean, last = grid.mean(dim=(0, 2, 3)), CONTEXT - 1
    rows = []
    for j in range(CONTEXT + 1, len(grid)):
        a, b = ((clip.depth[k], clip.camera_c2w[k]) for k in (last, j))
        match = correspond_tokens(a[0], clip.K, a[1], *b, patch=patch)
        for predicted in (grid[j], grid[last], mean[:, None, None].expand_as(grid[j])):
            rows.append(token_cosine(predicted, grid[last], match.places, match.mask, mean))
    real, copied, flat = (np.array(rows[k::3], dtype=float) for k in range(3))
    assert real.mean() > 0.75
    assert copied.mean() < real.mean() - 0.2
    assert (flat == 0).all()


def test_a_slow_rollout_is_fitted_its_speed_and_a_frozen_one_none(data: WorldData) -> None:
    track = data.track("truck/0000")
    step = track.camera_c2w[1] - track.camera_c2w[0]
    speeds = 0.1 * np.arange(16)  # frame k is frame CONTEXT + 3 of a rollout at this speed
    path = track.camera_c2w[:1] + (4 * speeds[:, None, None] * step).astype(np.float32)
    clip = render(replace(track, camera_c2w=path))
    video = clip.rgb.permute(0, 3, 1, 2).double() / 255

    def scores(rollout: Tensor, measured: list[int]) -> list[float | None]:
        out = []
        for k in measured:
            args = (clip.depth[0], clip.K, clip.camera_c2w[0], clip.depth[k], clip.camera_c2w[k])
            match = correspond(*args, parallax=0.0)
            out.append(masked_ncc(warp(rollout, match.places), video[0], match.mask))
        return out

    grid = [0, 3, 5, 7, 9, 11, 15]
    for true in (6, 8, 10):
        fitted = fit_path_speed(scores(video[true], grid), list(speeds[grid]))
        assert fitted == pytest.approx(speeds[true], abs=0.04)
    assert fit_path_speed(scores(video[0], grid), list(speeds[grid])) == 0
    grey = torch.full_like(video[0], 0.5)
    assert fit_path_speed(scores(grey, grid), list(speeds[grid])) is None
