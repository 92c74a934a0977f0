"""Every extractor with weights of its own sees corruption: more of it, a larger distance.

The weights are random, since nothing here may reach a network; what a distance needs is that
features tell clips apart, and that they do untrained.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from corruptions import blurrier, frozen, noisier, rendered, shuffled
from i3d_files import pytorch_names, random_state
from torch import Tensor
from transformer_folders import FRAMES, MODELS, saved

from worldbench.metrics.extractors import VideoExtractor, weighted_extractor
from worldbench.metrics.frechet import frechet_distance
from worldbench.metrics.i3d import LEAST_FRAMES

CPU = torch.device("cpu")
LADDER: dict[str, tuple[Callable[[Tensor, float], Tensor], tuple[float, ...]]] = {
    "noise": (noisier, (0.05, 0.25, 1.0)),
    "blur": (blurrier, (0.25, 0.5, 1.0)),
    "freeze": (frozen, (0.25, 0.5, 1.0)),
    "shuffle": (shuffled, (0.5, 1.0)),  # of four frames, no other share is in between
}
SPEEDS = (1.0, 1.5, 2.0, 3.0)


@pytest.fixture(scope="module")
def extractors(tmp_path_factory) -> Callable[[str], VideoExtractor]:
    root: Path = tmp_path_factory.mktemp("models")

    @cache
    def made(kind: str) -> VideoExtractor:
        if kind != "i3d":
            return weighted_extractor(kind, saved(root, kind), None, CPU)
        torch.save(pytorch_names(random_state()), root / "i3d.pt")
        return weighted_extractor("i3d", root / "i3d.pt", None, CPU)

    return made


def clips(kind: str, count: int, speed: float = 1.0) -> Tensor:
    frames = {"i3d": LEAST_FRAMES, "dinov2": 6}.get(kind) or FRAMES[kind]
    return rendered("test", count)[:, [round(speed * t) for t in range(frames)]]


def assert_rises(extractor: VideoExtractor, ladder: list[Tensor]) -> None:
    real = extractor(ladder[0])
    found = [frechet_distance(extractor(step), real) for step in ladder[1:]]
    assert found[0] > 1e-9 * float(real.var(dim=0).sum()), found
    assert all(a < b for a, b in pairwise(found)), found


def corrupted(kind: str, corruption: str, count: int) -> list[Tensor]:
    corrupt, levels = LADDER[corruption]
    video = clips(kind, count)
    return [video, *(corrupt(video, level) for level in levels)]


@pytest.mark.parametrize("corruption", LADDER)
@pytest.mark.parametrize("kind", MODELS)
def test_distances_in_features_of_transformers_rise(extractors, kind, corruption) -> None:
    assert_rises(extractors(kind), corrupted(kind, corruption, 16))


@pytest.mark.parametrize("kind", ["vjepa2", "dinov2"])
def test_faster_clips_are_farther(extractors, kind) -> None:
    assert_rises(extractors(kind), [clips(kind, 16, speed) for speed in SPEEDS])


@pytest.mark.parametrize(
    ("corruption", "count"),
    [
        pytest.param("noise", 2, id="noise-quick"),
        pytest.param("shuffle", 2, id="shuffle-quick"),
        *(pytest.param(name, 6, marks=pytest.mark.slow, id=f"{name}-full") for name in LADDER),
    ],
)
def test_distances_in_logits_of_i3d_rise(extractors, corruption, count) -> None:
    assert_rises(extractors("i3d"), corrupted("i3d", corruption, count))
