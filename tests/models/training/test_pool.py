from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from worldbench.errors import DataError
from worldbench_models.training import pool
from worldbench_models.training.pool import HELDOUT, SPEC, clips_of, data_identity

CPU = torch.device("cpu")
SMALL = replace(SPEC, frames=2, size=(16, 16))


def test_kept_clips_are_the_rendered_ones_and_are_not_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = clips_of(SMALL, 3, CPU, workers=1)
    assert torch.equal(clips_of(SMALL, 3, CPU, workers=1, folder=tmp_path), rendered)
    monkeypatch.setattr(pool, "training_clips", None)
    assert torch.equal(clips_of(SMALL, 3, CPU, workers=1, folder=tmp_path), rendered)


def test_of_two_runs_at_once_one_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def rendered(*_: object) -> torch.Tensor:
        calls.append(1)
        return torch.ones(3, 2, 16, 16, 3, dtype=torch.uint8)

    monkeypatch.setattr(pool, "_rendered", rendered)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: clips_of(SMALL, 3, CPU, folder=tmp_path), range(4)))
    assert len(calls) == 1
    assert all(bool((clips == 1).all()) for clips in found)


@pytest.mark.parametrize("damage", ["emptied", "a zip's beginning", "zeroed", "no digest"])
def test_damaged_clips_say_so(tmp_path: Path, damage: str) -> None:
    clips_of(SMALL, 3, CPU, workers=1, folder=tmp_path)
    (path,) = tmp_path.glob("*.npy")
    content = path.read_bytes()
    if damage == "no digest":
        path.with_suffix(".sha256").unlink()
    else:
        half = len(content) // 2
        path.write_bytes(
            {
                "emptied": b"",
                "a zip's beginning": b"PK\x03\x04",
                "zeroed": content[:half] + bytes(len(content) - half),
            }[damage]
        )
    with pytest.raises(DataError, match="are damaged") as caught:
        clips_of(SMALL, 3, CPU, workers=1, folder=tmp_path)
    assert f"rm {path}" in str(caught.value)


def test_other_clips_have_another_identity() -> None:
    digests = {data_identity(n, p)["digest"] for n, p in [(8, 1), (8, 2), (16, 1), (16, 2)]}
    assert len(digests) == 4
    # As the shipped weights' header names it.
    assert data_identity(120_000)["digest"].startswith("5c6ddc6b16b3")


def test_heldout_clips_are_none_that_is_trained_on_and_none_of_the_gates() -> None:
    assert HELDOUT.split == "calibration"
    assert SPEC.split == "train"
    assert HELDOUT.seed >= 500_000  # gates count from 0
