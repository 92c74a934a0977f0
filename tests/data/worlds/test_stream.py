"""Clips for training: the same whatever the workers, balanced, in order."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from worldbench.data.worlds import simulation as simulating
from worldbench.data.worlds.pictures.render import render_rgb
from worldbench.data.worlds.simulation import cores, in_parallel, simulate
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.stream import track_blocks, training_clips
from worldbench.errors import EnvironmentFault, UsageError

SPEC = SceneSpec("collide", 50, split="train", frames=4, size=16)


def digest_of(spec: SceneSpec) -> str:
    return simulate(spec).digest


def die(_: int) -> None:
    """A worker that the kernel kills, as it does when memory runs out."""
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_clips_are_what_their_tracks_give() -> None:
    clips, told = training_clips(SPEC, 5, device="cpu", workers=1)
    (tracks,) = track_blocks(SPEC, 5, workers=1)
    assert torch.equal(clips, render_rgb(tracks))
    assert clips.shape == (5, 4, 16, 16, 3)
    assert told.clips == 5
    assert told.seconds >= told.first + told.waiting + told.rendering


def test_factors_are_balanced_within_a_block() -> None:
    (tracks,) = track_blocks(SPEC, 16, workers=1)
    assert set(Counter(track.factors["shape"] for track in tracks).values()) == {4}


def test_fixed_factors_are_kept() -> None:
    (tracks,) = track_blocks(SPEC.with_factors(shape="box"), 6, workers=1)
    assert {track.factors["shape"] for track in tracks} == {"box"}


def test_two_processes_give_the_same_tracks_in_the_same_order() -> None:
    alone = [t.digest for block in track_blocks(SPEC, 300, workers=1) for t in block]
    shared = [t.digest for block in track_blocks(SPEC, 300, workers=2) for t in block]
    assert alone == shared
    assert len(set(alone)) == 300


@pytest.mark.slow
def test_jobs_come_back_in_their_order_from_several_processes() -> None:
    specs = [SceneSpec("drop", seed, frames=4) for seed in range(70)]
    assert list(in_parallel(digest_of, specs, 2)) == list(in_parallel(digest_of, specs, 1))


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    training_clips(SPEC, 5, device="cpu", workers=1, tell=lambda *at: told.append(at))
    assert told[-1] == (5, 5)


def test_a_dying_worker_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulating, "_WORTH_PROCESSES", 1)
    with pytest.raises(EnvironmentFault, match="--workers 1"):
        list(in_parallel(die, [1, 2], 2))


def test_a_script_without_a_guard_is_told_and_does_not_hang(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from worldbench.data.worlds.spec import SceneSpec\n"
        "from worldbench.data.worlds.stream import track_blocks\n"
        "list(track_blocks(SceneSpec('truck', 0), 300, workers=2))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "if __name__ == '__main__':" in done.stderr


def test_workers_end_with_a_parent_that_is_killed() -> None:
    code = (
        "import os, signal, sys\n"
        "from worldbench.data.worlds.simulation import worker_pool\n"
        "with worker_pool(1) as pool:\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    worker = int(done.stdout)
    for _ in range(100):
        if not Path(f"/proc/{worker}").exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"worker {worker} outlives its parent")


def test_errors_of_workers_arrive_whole() -> None:
    with pytest.raises(UsageError, match="did you mean 'collide'"):
        list(track_blocks(SceneSpec("colide", 0), 200, workers=2))


def test_cores_are_counted() -> None:
    assert cores() >= 1
