"""Latents of views: nothing is above the real future, and what scenes share counts for nothing."""

from collections.abc import Callable

import pytest
import torch
from quad_bench import CPU, clips_of
from test_consistency3d import Places, metric, of_views, views
from torch import Tensor

from worldbench.adapter import Latents
from worldbench.schema import Trial
from worldbench.suite import Row, Summary
from worldbench.suites.anchored import compare_latents
from worldbench.suites.consistency3d import VIEWS
from worldbench.suites.consistency3d_readout import Future, fit_geometry
from worldbench.suites.epipolar_rows import true_geometry, tsed_row
from worldbench.suites.quad_trials import Cut
from worldbench.suites.training_views import without
from worldbench.suites.view_geometry import View
from worldbench.suites.view_rows import geometry_rows

CODE = 3 * torch.randn(4, 8, 8, 33, generator=torch.Generator().manual_seed(4))
"""What every scene's latents have in common, by step and place; larger than what differs."""

Spoil = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of the real future's latents, the same without noise, and the context's last; all by step."""


class Foresees(Places):
    """Encodes places with noise and a code, and foresees what a function makes of the future."""

    def __init__(self, name: str, spoil: Spoil, noise: float = 0.7, code: Tensor = CODE) -> None:
        self.spoil, self.noise, self.code = spoil, noise, code
        self.clean: dict[str, Tensor] = {}
        super().__init__(name)

    def _learn(self, view: View, frames: Tensor) -> None:
        super()._learn(view, frames)
        generator = torch.Generator().manual_seed(len(self.seen))
        for name, told in list(self.seen.items()):
            if name not in self.clean:
                self.clean[name] = told
                noise = torch.randn(told.shape, generator=generator, dtype=told.dtype)
                self.seen[name] = told + self.noise * noise

    def _coded(self, tokens: Tensor) -> Tensor:
        return tokens + self.code[torch.arange(tokens.shape[1]) % 4]

    def encode(
        self, video: Tensor, *, layer: str | None = None, noise: float | None = None, seed: int = 0
    ) -> Latents:
        return Latents(self._coded(super().encode(video).tokens), 2)

    def predict(self, context: Tensor, horizon: int, *, actions: Tensor | None = None) -> Latents:
        real = super().predict(context, horizon).tokens
        noisy, self.seen = self.seen, self.clean
        clean = super().predict(context, horizon).tokens
        self.seen = noisy
        last = self.encode(context).tokens[:, -1:].expand_as(real)
        return Latents(self.spoil(real, clean, last).float(), 2)


def smoothed(real: Tensor, clean: Tensor, last: Tensor) -> Tensor:
    rest = (real - CODE).flatten(0, 1).permute(0, 3, 1, 2)
    soft = torch.nn.functional.avg_pool2d(rest, 3, 1, 1, count_include_pad=False)
    return soft.permute(0, 2, 3, 1).reshape(real.shape) + CODE


def noised(share: float) -> Spoil:
    def spoil(real: Tensor, clean: Tensor, last: Tensor) -> Tensor:
        noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(9))
        return real + share * noise

    return spoil


LADDER: dict[str, Spoil] = {
    "real": lambda real, clean, last: real,
    "denoised": lambda real, clean, last: clean,
    "smoothed": smoothed,
    "averaged": lambda real, clean, last: (real - CODE).mean(1, keepdim=True) + CODE,
    "halfway": lambda real, clean, last: (real + clean) / 2,
    "shrunk": lambda real, clean, last: CODE + (real - CODE) / 2,
    "constant": lambda real, clean, last: CODE.expand_as(real),
    "copied": lambda real, clean, last: last,
    "noised-1": noised(0.3),
    "noised-2": noised(1.0),
    "noised-3": noised(3.0),
}


@pytest.fixture(scope="module")
def ladder() -> dict[str, Summary]:
    return {name: of_views(Foresees(name, spoil)) for name, spoil in LADDER.items()}


def skills(ladder: dict[str, Summary]) -> dict[str, float]:
    found = {}
    for name, summary in ladder.items():
        value = metric(summary, "anchored_skill", extractor="latents").value
        assert value is not None
        found[name] = value
    return found


def test_no_latents_are_above_the_real_future(ladder: dict[str, Summary]) -> None:
    found = skills(ladder)
    assert found["real"] == pytest.approx(1, abs=1e-6)
    assert all(skill < 0.98 for name, skill in found.items() if name not in ("real", "shrunk")), (
        found
    )
    assert found["shrunk"] <= 1
    assert found["copied"] == pytest.approx(0, abs=1e-6)
    assert found["constant"] < 0.1
    assert found["denoised"] < found["halfway"]


def test_the_more_noise_the_less_skill(ladder: dict[str, Summary]) -> None:
    found = skills(ladder)
    steps = [found[name] for name in ("real", "noised-1", "noised-2", "noised-3")]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] - steps[1] > 0.02
    assert steps[1] - steps[2] > 0.1


def test_each_view_and_gap_has_the_real_future_on_top(ladder: dict[str, Summary]) -> None:
    for name, summary in ladder.items():
        for found in summary.metrics:
            if found.name == "anchored_skill" and found.value is not None:
                assert found.value <= 1 + 1e-6, (name, found.factors)


def test_latents_that_follow_surfaces_are_told_from_those_that_do_not(
    ladder: dict[str, Summary],
) -> None:
    told = {
        future: metric(
            ladder["real"], "anchored_similarity", extractor="latents", future=future
        ).value
        for future in ("floor", "carried", "ceiling")
    }
    assert told["ceiling"] == pytest.approx(1, abs=1e-6)
    assert told["floor"] is not None
    assert told["carried"] is not None
    assert told["floor"] + 0.1 < told["carried"] < 0.98


def test_what_all_scenes_share_is_taken_off() -> None:
    found = []
    for name, code in (("coded", CODE), ("bare", 0 * CODE)):
        found.append(of_views(Foresees(name, LADDER["copied"], code=code)))
    for future in ("model", "floor", "carried", "ceiling"):
        told = {"extractor": "latents", "future": future}
        coded, bare = (metric(summary, "anchored_similarity", **told).value for summary in found)
        assert coded == pytest.approx(bare, abs=1e-4)


def test_who_always_says_the_same_knows_nothing(ladder: dict[str, Summary]) -> None:
    told = {"extractor": "latents", "future": "model"}
    assert metric(ladder["constant"], "anchored_similarity", **told).value == 0.0


def test_what_is_nothing_but_shared_is_exactly_nothing() -> None:
    shared = torch.randn(8, 8, 5, generator=torch.Generator().manual_seed(0)) * 1e3
    noise = 1 + 1e-7 * torch.randn(8, 8, 5, generator=torch.Generator().manual_seed(1))
    assert not without(shared * noise, shared).any()
    assert without(shared * 1.01, shared).any()


# All samples count


def one_view() -> tuple[View, Tensor]:
    data, name = views(), "static_orbit/0001"
    clips = clips_of(data, [Trial(name, name, (name,), {})])
    return View(data.track(name), (64, 64), CPU), clips[0]


def test_latents_are_compared_on_the_device_that_they_are_on() -> None:
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(5, 8, 8, generator=generator)
    y, x = torch.meshgrid(torch.arange(8) + 0.5, torch.arange(8) + 0.5, indexing="ij")
    here, everywhere = torch.stack([x, y], dim=-1).double(), torch.ones(8, 8, dtype=torch.bool)
    # Whatever is made without a device lands elsewhere, as it does when latents are on a GPU.
    with torch.device("meta"):
        assert compare_latents(real, real, here, everywhere) == pytest.approx(1.0)


def test_tsed_is_the_mean_over_samples() -> None:
    view, clip = one_view()
    matrices = view.intrinsics.expand_as(view.cameras[:, :3, :3]).numpy()
    geometry = true_geometry(matrices, view.cameras.numpy())
    future, grey = clip[8:], torch.full_like(clip[8:], 0.5)
    bent = torch.stack([frame.roll(2 * i, dims=1) for i, frame in enumerate(future)])

    def row(*samples: Tensor) -> Row:
        return tsed_row(geometry, clip[7], torch.stack(samples), future, 7)

    real, other, none = (row(one) for one in (future, bent, grey))
    both = row(future, bent)
    assert other["model.2"] < real["model.2"]
    for name in ("model.2", "model.8", "model.enough", "model.sampson"):
        assert both[name] == pytest.approx((real[name] + other[name]) / 2)
    # A sample without matches keeps to no line where another one was measured.
    assert none["model.status"] == "too few matches"
    assert row(grey, future)["model.status"] == "ok"
    assert row(grey, future)["model.2"] == pytest.approx(real["model.2"] / 2)
    assert row(grey, future)["model.sampson"] == real["model.sampson"]


def test_read_outs_are_means_over_samples() -> None:
    view, _ = one_view()
    generator = torch.Generator().manual_seed(0)
    tokens = [torch.randn(4, 8, 8, 6, generator=generator) for _ in range(5)]
    names = ["a", "b", "c"]
    readout = fit_geometry([Future(view, one, range(8, 16, 2)) for one in tokens[:3]], names)

    def row(*samples: Tensor) -> Row:
        futures = {"model": torch.stack(samples), "ceiling": tokens[0][None]}
        return geometry_rows(readout, view, Cut(8, 8), "own", futures)[0]

    one, other, both = row(tokens[3]), row(tokens[4]), row(tokens[3], tokens[4])
    for name in ("depth.raw.delta1", "depth.fitted.abs_rel", "pose.rotation", "pose.direction"):
        assert both[name] == pytest.approx((one[name] + other[name]) / 2)


def test_poses_are_read_off_what_moved_and_nothing_off_noise() -> None:
    """Rotations that stand in differences of tokens are found; of noise the mean is left."""
    data = views()
    names = [
        f"{family}/{split}000{i}" for family in VIEWS for split in ("", "train/") for i in (0, 1)
    ]
    frames = range(8, 16, 2)
    assert data.train is not None
    sources = [data.train if "train" in name else data for name in names]
    seen = [
        View(source.track(name), (64, 64), CPU) for source, name in zip(sources, names, strict=True)
    ]
    generator = torch.Generator().manual_seed(3)
    noise = [torch.randn(4, 4, 4, 12, generator=generator) for _ in names]

    def told(view: View, rest: Tensor) -> Future:
        poses = Future(view, rest, frames).poses
        tokens = rest[:1].repeat(4, 1, 1, 1)
        tokens[1:, :, :, :6] += 20 * poses[:, None, None].float()
        return Future(view, tokens, frames)

    def rotation(futures: list[Future]) -> tuple[float, float]:
        readout = fit_geometry(futures[1:], names[1:])
        return (
            readout.row(futures[0])["pose.rotation"],
            readout.usual_row(futures[0])["pose.rotation"],
        )

    knows, mean = rotation([told(*both) for both in zip(seen, noise, strict=True)])
    assert knows < 0.1 * mean
    nothing, mean = rotation([Future(*both, frames) for both in zip(seen, noise, strict=True)])
    assert nothing == pytest.approx(mean, rel=0.25)


def test_the_record_tells_by_how_much_read_outs_beat_the_training_mean(
    ladder: dict[str, Summary],
) -> None:
    for measure in ("depth_delta1", "rotation_error", "direction_error"):
        told = {"extractor": "own", "future": "model", "measure": measure}
        gain = metric(ladder["real"], "gain_over_mean", **told)
        assert gain.value is not None
        assert gain.low is not None
        assert gain.low < gain.value
    mean = metric(
        ladder["real"], "pose", extractor="own", future="training_mean", measure="rotation"
    )
    own = metric(ladder["real"], "rotation_error", extractor="own")
    rotation = {"extractor": "own", "future": "model", "measure": "rotation_error"}
    gain = metric(ladder["real"], "gain_over_mean", **rotation)
    assert mean.value is not None
    assert own.value is not None
    assert gain.value == pytest.approx(mean.value - own.value)
