"""A small data set of real files, and the command line as a function."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_bench import FRAMES, Bench, Clips, write_avi

from worldbench.data.video import encode


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory, moving_patch: Callable[..., np.ndarray]):
    folder = tmp_path_factory.mktemp("clips")
    for part, count, first in (("test", 16, 0), ("train", 8, 100)):
        (folder / part / "deeper").mkdir(parents=True)
        for i in range(count):
            rng = np.random.default_rng(first + i)
            x, y = (int(v) for v in rng.choice([-3, -2, -1, 1, 2, 3], 2))
            video = moving_patch(first + i, frames=FRAMES, velocity=(x, y))
            where = folder / part / ("deeper" if i % 2 else ".")
            if i % 4 == 3:
                write_avi(where / f"{i:02d}.avi", video)
            else:
                encode(where / f"{i:02d}.mp4", video, 15)
    return Clips(folder / "test", folder / "train")


@pytest.fixture(autouse=True)
def _clean(clean_process: None) -> None:
    """Applies to every test here."""


@pytest.fixture
def bench(clips: Clips, tmp_path: Path) -> Bench:
    (tmp_path / "conf").mkdir()
    return Bench(clips, tmp_path / "records", tmp_path / "conf")
