"""I3D beside the port that cd-fvd ships, with the same random weights; and where the time goes.

Run as a script: ``python tests/benchmarks/bench_i3d.py [clips] [device] [folder]``. Videos are made
in the folder, or a temporary one, unless they are there. Notable:

- end to end: a folder of MP4s of 16 frames at 128 × 128 → decode → features → distance in the
  preset ``cdfvd_i3d``. cd-fvd's own reader needs a torchvision that reads video; its half of the
  run gets our decoded frames, and the arithmetic of its loader, network and statistics.
- compute-bound: the networks alone, clips in memory; decode-bound: frames without a network.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from timing import seconds
from torch import Tensor
from torch.nn import functional

from worldbench.batches import to_pixels, to_video
from worldbench.conformance.clips import moving_clips
from worldbench.data.video import encode
from worldbench.distance.folders import Cut, FolderClips
from worldbench.metrics.frechet import frechet_distance
from worldbench.metrics.i3d import I3D
from worldbench.metrics.i3d_extractor import I3DLogits
from worldbench.metrics.i3d_weights import find_weights
from worldbench.metrics.presets import PRESETS

sys.path.insert(0, str(Path(__file__).parents[1]))
from i3d_files import pytorch_names, random_state

FRAMES, SIDE, BATCH = 16, 128, 4


def make_videos(root: Path, clips: int) -> None:
    """Writes ``real`` and ``fake`` below a folder."""
    for side, shift in (("real", 0.0), ("fake", 0.15)):
        (root / side).mkdir(parents=True)
        for i, clip in enumerate(moving_clips(clips, FRAMES, (SIDE, SIDE))):
            rough = clip * (0.6 + 0.4 * (i + 1) / clips) + shift * (i % 3) / 3
            encode(root / side / f"{i:04d}.mp4", to_pixels(rough.clamp(0, 1)), 15)


def decoded(side: FolderClips) -> Iterator[Tensor]:
    """Yields batches of decoded clips, uint8."""
    ids = [clip.id for clip in side.clips]
    for i in range(0, len(ids), BATCH):
        yield torch.from_numpy(side.load(ids[i : i + BATCH]))


def our_distance(sides: Sequence[FolderClips], extractor: I3DLogits) -> float:
    """Folder to distance, as ``worldbench distance`` does."""
    x, y = (torch.cat([extractor(to_video(part)) for part in decoded(side)]) for side in sides)
    return frechet_distance(x, y, ddof=0)


def their_features(port: torch.nn.Module, stored: Tensor, device: torch.device) -> Tensor:
    """cd-fvd from decoded frames on: its loader's resize, its bytes, its input, its network."""
    from cdfvd.third_party.i3d.utils import preprocess_i3d

    frames = stored.permute(0, 1, 4, 2, 3).flatten(0, 1).float() / 255
    loaded = functional.interpolate(frames, (256, 256), mode="bilinear", antialias=True)
    videos = (loaded * 255).byte().unflatten(0, stored.shape[:2]).permute(0, 1, 3, 4, 2)
    with torch.no_grad():
        return port(preprocess_i3d(videos.numpy()).to(device)).cpu()


def their_distance(
    sides: Sequence[FolderClips], port: torch.nn.Module, device: torch.device
) -> float:
    """The same by cd-fvd's arithmetic."""
    from cdfvd.utils.metric_utils import FeatureStats

    found = []
    for side in sides:
        kept = FeatureStats(capture_mean_cov=True)
        for part in decoded(side):
            kept.append(their_features(port, part, device).numpy())
        found.append(kept.get_mean_cov())
    (m1, s1), (m2, s2) = found
    root = scipy.linalg.sqrtm(s2 @ s1)
    return float(np.real(np.square(m2 - m1).sum() + np.trace(s1 + s2 - 2 * root)))


def end_to_end(
    root: Path, state: dict[str, Tensor], port: torch.nn.Module, device: torch.device
) -> None:
    """Prints rates and values of both on a folder."""
    weights = root / "i3d.pt"
    torch.save(pytorch_names(state), weights)
    extractor = I3DLogits(find_weights(weights), PRESETS["cdfvd_i3d"], device)
    sides = [FolderClips(root / side, Cut()) for side in ("fake", "real")]
    clips = len(sides[0].clips)
    values: dict[str, float] = {}
    times: dict[str, float] = {}
    runs = {
        "ours": lambda: our_distance(sides, extractor),
        "cd-fvd": lambda: their_distance(sides, port, device),
    }
    for name, run in runs.items():
        times[name] = seconds(lambda n=name, run=run: values.update({n: run()}), device, 1)
        print(f"end to end, {name:<7} {2 * clips / times[name]:8.2f} clips/s   {values[name]:.8g}")
    apart = abs(values["ours"] / values["cd-fvd"] - 1)
    print(f"end to end: x{times['cd-fvd'] / times['ours']:.2f}, values {apart:.1e} apart")
    decode = seconds(lambda: list(decoded(sides[0])), device, 2)
    print(f"decode-bound          {clips / decode:8.1f} clips/s on one thread")


def networks(state: dict[str, Tensor], port: torch.nn.Module, device: torch.device) -> None:
    """Prints the rates of the networks alone, clips in memory."""
    ours = I3D(state, 1e-5).to(device)
    for batch in (BATCH,) if device.type == "cpu" else (1, 4, 16, 64):
        x = torch.rand(batch, 3, FRAMES, 224, 224, device=device)
        flags = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), flags:
            for name, call in (("ours", ours), ("cd-fvd", port)):
                taken = seconds(lambda call=call, x=x: call(x), device, 2)
                print(f"compute-bound, {name:<7}{batch / taken:8.2f} clips/s, batches of {batch}")


def main(clips: int = 24, device: str = "cpu", folder: str | None = None) -> None:
    """Prints everything."""
    from cdfvd.third_party.i3d.pytorch_i3d import InceptionI3d

    where = torch.device(device)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {device}")
    state = random_state()
    port = InceptionI3d(400).eval()
    port.load_state_dict(pytorch_names(state), strict=False)
    port.to(where)
    networks(state, port, where)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(folder or temporary)
        if not (root / "real").is_dir():
            make_videos(root, clips)
        end_to_end(root, state, port, where)


if __name__ == "__main__":
    main(*(int(word) if word.isdecimal() else word for word in sys.argv[1:]))
