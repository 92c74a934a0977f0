"""Data that several test files share; nothing here touches the user's own cache."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from worldbench.data.video import encode

Draw = Callable[..., np.ndarray]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the cache of a test session to itself; WORLDBENCH_TEST_CACHE=DIR keeps it for more."""
    # Processes that share a session's tests share its cache: sets are rendered once.
    several = "PYTEST_XDIST_WORKER" in os.environ
    own = tmp_path_factory.getbasetemp().parent if several else tmp_path_factory.getbasetemp()
    folder = os.environ.get("WORLDBENCH_TEST_CACHE") or str(own / "cache-of-tests")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDBENCH_CACHE", folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Test sessions that share cores would spend their time waiting for each other's threads.

    Processes that tests start compute on one as well: with two, some processors round differently,
    and what one process began another could not finish bit by bit.
    """
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("MKL_NUM_THREADS", "1")
        yield


def _texture(rng: np.random.Generator, side: int) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.standard_normal((side, side, 3)), (0, 0), 1.5)
    return np.clip(0.5 + 0.18 * noise / noise.std(), 0, 1)


def _moving_patch(
    seed: int,
    *,
    frames: int = 32,
    size: int = 64,
    patch: int = 24,
    velocity: tuple[int, int] = (1, 1),
    start: tuple[int, int] = (8, 8),
) -> np.ndarray:
    """Draws a textured square at constant integer velocity (x, y), wrapping round at the edges."""
    rng = np.random.default_rng(seed)
    ground, skin = _texture(rng, size), _texture(rng, size)[:patch, :patch]
    video = np.empty((frames, size, size, 3))
    for t in range(frames):
        rows = (start[1] + velocity[1] * t + np.arange(patch)) % size
        columns = (start[0] + velocity[0] * t + np.arange(patch)) % size
        video[t] = ground
        video[t][np.ix_(rows, columns)] = skin
    return (video * 255).round().astype(np.uint8)


@pytest.fixture(scope="session")
def moving_patch() -> Draw:
    """Function (seed, frames=, size=, patch=, velocity=, start=) → video ``t h w 3`` uint8."""
    return _moving_patch


def _write_set(root: Path, videos: int, first_seed: int) -> Path:
    for index in range(videos):
        rng = np.random.default_rng(first_seed + index)
        x, y = (int(v) for v in rng.choice([-3, -2, -1, 1, 2, 3], 2))
        start = (int(rng.integers(40)), int(rng.integers(40)))
        video = _moving_patch(first_seed + index, velocity=(x, y), start=start)
        path = root / ("right" if x > 0 else "left") / f"{index:02d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(path, video, 15)
    return root


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``left/`` and ``right/``: eight videos, 32 frames of 64 × 64 at 15 fps."""
    return _write_set(tmp_path_factory.mktemp("small_data"), 8, first_seed=0)


@pytest.fixture(scope="session")
def small_train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another four such videos, to fit a projection on."""
    return _write_set(tmp_path_factory.mktemp("small_train"), 4, first_seed=100)


@pytest.fixture
def clean_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Hydra keeps state and handlers for the process; sweeps write where they are started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    GlobalHydra.instance().clear()
