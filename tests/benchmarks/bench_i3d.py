"""I3D beside the port that cd-fvd ships, with the same random weights; and where the time goes.

Run as a script: ``python tests/benchmarks/bench_i3d.py [clips] [device] [folder]``. Videos are made
in the folder, or a temporary one, unless they are there. Notable:

- compute-bound: the networks alone, clips in memory, beside the rate of a large matrix product of
  the same precision, which no convolution without a fast algorithm passes. On a GPU in fp32, as the
  extractor runs, and in TF32.
- decode-bound: frames without a network, on one thread and on as many as there are cores.
- end to end: two folders of MP4s of 16 frames at 128 × 128 → decode → features → distance in the
  preset ``cdfvd_i3d``, decoded ahead as ``worldbench distance`` does. cd-fvd's own reader needs a
  torchvision that reads video; its half of the run gets our decoded frames, and the arithmetic of
  its loader, network and statistics.
- the parts of both alone. What bounds the ratio end to end is told by them: where the network takes
  nearly all of the time, the ratio is that of the networks, and decoding ahead or a faster solver
  change nothing. Ours then wins by what it does not do (normalisation folded in, openings of
  branches as one, the classifier after the mean) and by its layout; the products that are left are
  the same for both.

Without cd-fvd its rows are left out; without OpenCV the compute-bound rates alone are measured.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from timing import ceiling, seconds
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from worldbench.metrics.i3d import I3D

sys.path.insert(0, str(Path(__file__).parents[1]))
from i3d_files import pytorch_names, random_state

if TYPE_CHECKING:
    from worldbench.distance.folders import FolderClips
    from worldbench.metrics.i3d_extractor import I3DLogits

FRAMES, SIDE = 16, 128
BATCHES = {"cpu": 4, "cuda": 16}


def make_videos(root: Path, clips: int) -> None:
    """Writes ``real`` and ``fake`` below a folder."""
    from worldbench.batches import to_pixels
    from worldbench.conformance.clips import moving_clips
    from worldbench.data.video import encode

    for side, shift in (("real", 0.0), ("fake", 0.15)):
        (root / side).mkdir(parents=True)
        for i, clip in enumerate(moving_clips(clips, FRAMES, (SIDE, SIDE))):
            rough = clip * (0.6 + 0.4 * (i + 1) / clips) + shift * (i % 3) / 3
            encode(root / side / f"{i:04d}.mp4", to_pixels(rough.clamp(0, 1)), 15)


def grouped(side: "FolderClips", batch: int) -> list[list[str]]:
    """Clip ids in batches."""
    ids = [clip.id for clip in side.clips]
    return [ids[i : i + batch] for i in range(0, len(ids), batch)]


def decoded(side: "FolderClips", batch: int) -> Iterator[Tensor]:
    """Yields batches of decoded clips, uint8."""
    for ids in grouped(side, batch):
        yield torch.from_numpy(side.load(ids))


def our_distance(sides: Sequence["FolderClips"], extractor: "I3DLogits", batch: int) -> float:
    """Folder to distance, as ``worldbench distance`` does."""
    from worldbench.batches import clip_batches
    from worldbench.metrics.frechet import frechet_distance

    x, y = (
        torch.cat(
            [
                extractor(video)
                for video in clip_batches(
                    side, grouped(side, batch), device=extractor.device, num_workers=1
                )
            ]
        )
        for side in sides
    )
    return frechet_distance(x, y, ddof=0)


def their_clips(stored: Tensor) -> Tensor:
    """cd-fvd from decoded frames to the network: its loader's resize, its bytes, its input."""
    from cdfvd.third_party.i3d.utils import preprocess_i3d

    frames = stored.permute(0, 1, 4, 2, 3).flatten(0, 1).float() / 255
    loaded = functional.interpolate(frames, (256, 256), mode="bilinear", antialias=True)
    videos = (loaded * 255).byte().unflatten(0, stored.shape[:2]).permute(0, 1, 3, 4, 2)
    clips: Tensor = preprocess_i3d(videos.numpy())
    return clips


def their_distance(
    sides: Sequence["FolderClips"], port: torch.nn.Module, device: torch.device, batch: int
) -> float:
    """The same by cd-fvd's arithmetic."""
    from cdfvd.utils.metric_utils import FeatureStats

    found = []
    for side in sides:
        kept = FeatureStats(capture_mean_cov=True)
        for part in decoded(side, batch):
            with torch.no_grad():
                kept.append(port(their_clips(part).to(device)).cpu().numpy())
        found.append(kept.get_mean_cov())
    return by_sqrtm(*found[0], *found[1])


def by_sqrtm(m1: Any, s1: Any, m2: Any, s2: Any) -> float:
    """cd-fvd's distance from means and covariances."""
    import numpy as np
    import scipy.linalg

    root = scipy.linalg.sqrtm(s2 @ s1)
    return float(np.real(np.square(m2 - m1).sum() + np.trace(s1 + s2 - 2 * root)))


def end_to_end(
    root: Path, state: dict[str, Tensor], port: torch.nn.Module | None, device: torch.device
) -> None:
    """Prints rates and values of both on a folder, and their parts alone."""
    from worldbench.distance.folders import Cut, FolderClips
    from worldbench.metrics.i3d_extractor import I3DLogits
    from worldbench.metrics.i3d_weights import find_weights
    from worldbench.metrics.presets import PRESETS

    weights, batch = root / "i3d.pt", BATCHES[device.type]
    torch.save(pytorch_names(state), weights)
    extractor = I3DLogits(find_weights(weights), PRESETS["cdfvd_i3d"], device)
    sides = [FolderClips(root / side, Cut()) for side in ("fake", "real")]
    values: dict[str, float] = {}
    times: dict[str, float] = {}
    runs = {"ours": lambda: our_distance(sides, extractor, batch)}
    if port is not None:
        runs["cd-fvd"] = lambda: their_distance(sides, port, device, batch)
    for name, run in runs.items():
        times[name] = seconds(lambda n=name, run=run: values.update({n: run()}), device, 1)
        rate = 2 * len(sides[0].clips) / times[name]
        print(f"end to end, {name:<7} {rate:8.2f} clips/s   {values[name]:.8g}", flush=True)
    if port is not None:
        apart = abs(values["ours"] / values["cd-fvd"] - 1)
        print(f"end to end: x{times['cd-fvd'] / times['ours']:.2f}, values {apart:.1e} apart")
    parts(sides[0], state, port, device)


def parts(
    side: "FolderClips",
    state: dict[str, Tensor],
    port: torch.nn.Module | None,
    device: torch.device,
) -> None:
    """Prints what decoding, preprocessing, network and solver cost alone, for one folder."""
    from worldbench.batches import to_video
    from worldbench.metrics.framing import framed
    from worldbench.metrics.frechet import frechet_distance
    from worldbench.metrics.presets import PRESETS

    batch, count = BATCHES[device.type], len(side.clips)
    stored, framing = next(decoded(side, batch)), PRESETS["cdfvd_i3d"].framing
    assert framing is not None
    x, y = torch.randn(2, count, 400, dtype=torch.float64)
    ours = I3D(state, 1e-5).to(device)

    def prepared() -> Tensor:
        return (2 * framed(to_video(stored.to(device)), framing) - 1).transpose(1, 2)

    def statistics() -> float:
        moments = [(z.mean(dim=0).numpy(), torch.cov(z.T).numpy()) for z in (x, y)]
        return by_sqrtm(*moments[0], *moments[1])

    each: dict[str, dict[str, Callable[[], object]]] = {
        "ours": {
            "preprocessing": prepared,
            "network": network(ours, prepared()),
            "solver": lambda: frechet_distance(x, y),
        }
    }
    if port is not None:
        each["cd-fvd"] = {
            "preprocessing": lambda: their_clips(stored),
            "network": network(port, their_clips(stored).to(device)),
            "solver": statistics,
        }
    decode = seconds(lambda: list(decoded(side, batch)), device, 2) / count
    totals: dict[str, float] = {}
    for name, calls in each.items():
        cost = {"decoding": decode}
        for part, call in calls.items():
            # Two folders share one distance.
            clips = 2 * count if part == "solver" else len(stored)
            cost[part] = seconds(call, device, 2) / clips
        totals[name] = sum(cost.values())
        shares = ", ".join(
            f"{part} {1e3 * spent:.1f} ms ({spent / totals[name]:.1%})"
            for part, spent in cost.items()
        )
        print(f"a clip, {name:<7} {shares}", flush=True)
    if port is not None:
        products = flops(lambda: ours(prepared())) / len(stored) / ceiling(device, torch.float32)
        print(
            f"at the rate of a large matrix product the network would take {1e3 * products:.1f} ms "
            f"a clip: were all else free, x{totals['cd-fvd'] / products:.2f} would be the most"
        )
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        wide = seconds(lambda: list(pool.map(side.load, grouped(side, 1))), device, 2) / count
    print(f"decode-bound: {1 / decode:.1f} clips/s on one thread, {1 / wide:.1f} on {cores}")


def network(model: torch.nn.Module, clips: Tensor) -> Callable[[], Tensor]:
    """A call of a network in fp32."""

    def call() -> Tensor:
        with torch.inference_mode(), precision("fp32"):
            found: Tensor = model(clips)
            return found

    return call


def flops(call: Callable[[], object]) -> int:
    """Operations of the products of a call."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def precision(name: str) -> Any:
    """Settings of convolutions: as the extractor has them, but for the precision."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=name == "TF32")


def networks(state: dict[str, Tensor], port: torch.nn.Module | None, device: torch.device) -> None:
    """Prints the rates of the networks alone, clips in memory."""
    models = {"ours": I3D(state, 1e-5).to(device)} | ({} if port is None else {"cd-fvd": port})
    on_gpu = device.type == "cuda"
    for kind in ("fp32", "TF32") if on_gpu else ("fp32",):
        # Matrix products have a switch of their own.
        torch.backends.cuda.matmul.allow_tf32 = kind == "TF32"
        peak = ceiling(device, torch.float32)
        torch.backends.cuda.matmul.allow_tf32 = False
        print(f"{kind}: a large matrix product runs at {peak / 1e12:.3g} TFLOP/s")
        for batch in (1, 4, 16, 64) if on_gpu else (BATCHES["cpu"],):
            x = torch.rand(batch, 3, FRAMES, 224, 224, device=device)
            for name, model in models.items():
                with torch.inference_mode(), precision(kind):
                    taken = seconds(lambda model=model, x=x: model(x), device, 2)
                    rate = flops(lambda model=model, x=x: model(x)) / taken
                print(
                    f"compute-bound, {kind}, {name:<7}{batch / taken:8.2f} clips/s, batches of "
                    f"{batch}, {rate / 1e12:.3g} TFLOP/s, {rate / peak:.0%} of the product's",
                    flush=True,
                )


def port_of(state: dict[str, Tensor], device: torch.device) -> torch.nn.Module | None:
    """cd-fvd's network with the same weights, if it is installed."""
    if find_spec("cdfvd") is None:
        print("cd-fvd is not installed: its rows are left out")
        return None
    from cdfvd.third_party.i3d.pytorch_i3d import InceptionI3d

    port: torch.nn.Module = InceptionI3d(400).eval()
    port.load_state_dict(pytorch_names(state), strict=False)
    return port.to(device)


def main(clips: int = 24, device: str = "cpu", folder: str | None = None) -> None:
    """Prints everything."""
    where = torch.device(device)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else device
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {name}")
    state = random_state()
    port = port_of(state, where)
    networks(state, port, where)
    if find_spec("cv2") is None:
        print("OpenCV is not installed: nothing can be decoded, and the rest is left out")
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(folder or temporary)
        if not (root / "real").is_dir():
            make_videos(root, clips)
        end_to_end(root, state, port, where)


if __name__ == "__main__":
    main(*(int(word) if word.isdecimal() else word for word in sys.argv[1:]))
