import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_recipe import TinyRecipe

from worldbench.errors import DataError, UsageError, WorldbenchError
from worldbench.tracking import NoTracker
from worldbench_models.training import loop, pool
from worldbench_models.training.loop import train
from worldbench_models.training.settings import Settings
from worldbench_models.weights import load_weights


class Watching(NoTracker):
    """Keeps the numbers it is shown, and may interrupt at a step."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.seen: list[tuple[int, dict[str, float]]] = []
        self.interrupt_at = interrupt_at

    def metrics(self, values: Any, step: int) -> None:
        self.seen.append((step, dict(values)))
        if step == self.interrupt_at:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def few_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the loop random bytes for clips: what is simulated is tested where it is made."""

    def clips_of(spec: Any, count: int, device: torch.device, **_: Any) -> torch.Tensor:
        generator = torch.Generator().manual_seed(spec.seed + len(spec.split))
        shape = (count, 2, 16, 16, 3)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    monkeypatch.setattr(loop, "clips_of", clips_of)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        model="tiny",
        size="s",
        device=torch.device("cpu"),
        precision="fp32",
        compile=False,
        steps=None,
        batch_size=None,
        clips=10,
        heldout_clips=3,
        clips_folder=None,
        seed=0,
        workers=1,
        out=tmp_path / "run",
        overwrite=False,
        log_every=1,
        heldout_every=5,
        checkpoint_every=4,
    )


def losses(settings: Settings) -> list[float]:
    lines = (settings.out / "log.jsonl").read_text().splitlines()
    return [line["loss"] for line in map(json.loads, lines) if "loss" in line]


def test_a_run_leaves_weights_log_and_summary(settings: Settings) -> None:
    tracker = Watching()
    weights = train(TinyRecipe(), settings, tracker)
    kept = load_weights(weights, model="tiny")
    summary = json.loads((settings.out / "summary.json").read_text())
    assert kept.sha256 == summary["weights_sha256"]
    assert len(losses(settings)) == 12
    assert summary["clips_seen"] == 48
    assert summary["training_flops"] == 3 * 100 * 48
    assert summary["final"]["heldout"]["clips"] == 3
    assert summary["parameters"] == 1
    steps_of_heldout = [step for step, values in tracker.seen if "heldout/value" in values]
    assert steps_of_heldout == [5, 10, 12]


def test_the_released_weights_are_the_averaged_ones(settings: Settings) -> None:
    tracker = Watching()
    weights = train(TinyRecipe(), settings, tracker)
    last = [values for _, values in tracker.seen if "heldout/value" in values][-1]
    released = float(load_weights(weights, model="tiny").state["value"])
    assert released == pytest.approx(last["heldout/value"], rel=1e-2)  # weights are bf16


def test_an_interrupted_run_resumes_with_the_very_same_losses(
    settings: Settings, tmp_path: Path
) -> None:
    train(TinyRecipe(), settings, NoTracker())
    other = replace(settings, out=tmp_path / "other")
    with pytest.raises(KeyboardInterrupt):
        train(TinyRecipe(), other, Watching(interrupt_at=7))
    train(TinyRecipe(), other, NoTracker())
    assert losses(other) == losses(settings)
    name = "tiny-s.safetensors"
    assert (other.out / name).read_bytes() == (settings.out / name).read_bytes()


def test_a_killed_run_resumes_from_its_last_checkpoint(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(TinyRecipe(), settings, NoTracker())
    other = replace(settings, out=tmp_path / "other")
    batch = pool.ClipPool.batch

    def dies(self: pool.ClipPool, step: int, size: int) -> torch.Tensor:
        if step == 7:
            raise MemoryError("killed")
        return batch(self, step, size)

    monkeypatch.setattr(pool.ClipPool, "batch", dies)
    with pytest.raises(MemoryError):
        train(TinyRecipe(), other, NoTracker())
    monkeypatch.setattr(pool.ClipPool, "batch", batch)
    train(TinyRecipe(), other, NoTracker())
    assert losses(other) == losses(settings)  # steps 5 to 7 were logged twice, and stand once


def test_a_finished_run_is_not_trained_again(settings: Settings) -> None:
    first = train(TinyRecipe(), settings, NoTracker())
    before = first.stat().st_mtime_ns
    tracker = Watching()
    assert train(TinyRecipe(), settings, tracker) == first
    assert first.stat().st_mtime_ns == before
    assert tracker.seen == []
    train(TinyRecipe(), replace(settings, overwrite=True), tracker)
    assert len(tracker.seen) > 12


def test_damaged_weights_are_made_again(settings: Settings) -> None:
    weights = train(TinyRecipe(), settings, NoTracker())
    good = weights.read_bytes()
    weights.write_bytes(good[:-1])
    train(TinyRecipe(), settings, NoTracker())
    assert weights.read_bytes() == good


def test_a_folder_of_other_options_is_refused(settings: Settings) -> None:
    train(TinyRecipe(), settings, NoTracker())
    with pytest.raises(UsageError, match="other options"):
        train(TinyRecipe(), replace(settings, seed=1), NoTracker())
    with pytest.raises(UsageError, match="other options"):
        train(TinyRecipe(learning_rate=0.1), settings, NoTracker())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04half a file", b"\x80\x02."])
def test_a_damaged_checkpoint_says_so(settings: Settings, content: bytes) -> None:
    settings.out.mkdir()
    (settings.out / "checkpoint.pt").write_bytes(content)
    with pytest.raises(DataError, match="cannot read the checkpoint"):
        train(TinyRecipe(), settings, NoTracker())


def test_a_loss_that_is_not_finite_stops_the_run(settings: Settings) -> None:
    with pytest.raises(WorldbenchError, match="no longer finite"):
        train(TinyRecipe(poison=6), settings, NoTracker())
    saved = torch.load(settings.out / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 4
    assert bool(torch.isfinite(saved["states"]["objective"]["value"]).all())


def test_seeds_give_other_curves_and_the_same_seed_the_same(
    settings: Settings, tmp_path: Path
) -> None:
    for number, seed in enumerate([0, 0, 1]):
        given = replace(settings, seed=seed, out=tmp_path / str(number))
        train(TinyRecipe(), given, NoTracker())
    curves = [losses(replace(settings, out=tmp_path / str(n))) for n in range(3)]
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]


def test_every_clip_is_shown_once_a_round() -> None:
    clips = torch.arange(10, dtype=torch.uint8).reshape(10, 1, 1, 1, 1).expand(-1, 2, 4, 4, 3)
    shown = pool.ClipPool(clips, seed=3)
    rounds = [
        [int(v) for s in range(2) for v in shown.batch(s + 2 * r, 5)[:, 0, 0, 0, 0]]
        for r in range(2)
    ]
    assert [sorted(r) for r in rounds] == [list(range(10))] * 2
    assert rounds[0] != rounds[1]
    assert torch.equal(shown.batch(1, 5), pool.ClipPool(clips, seed=3).batch(1, 5))


def test_too_few_clips_for_a_batch_are_refused(settings: Settings) -> None:
    with pytest.raises(UsageError, match="fewer training clips"):
        train(TinyRecipe(), replace(settings, clips=3), NoTracker())


@pytest.mark.slow
def test_two_processes_train_the_same_model_on_their_own_clips(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(
        f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from dataclasses import replace
from pathlib import Path
import torch
from tiny_recipe import TinyRecipe
from worldbench_models.training.loop import train
from worldbench_models.training.settings import Settings
from worldbench.tracking import NoTracker

if __name__ == "__main__":
    settings = Settings("tiny", "s", torch.device("cpu"), "fp32", False, 6, 4, 8, 2, None, 0, 1,
                        Path({str(tmp_path / "run")!r}), False, 1, 6, 6)
    weights = train(TinyRecipe(), settings, NoTracker())
    print("done", weights)
"""
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done") == 2
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["processes"] == 2
    # The gradient of the mean over both halves: the same Adam steps as one process would take.
    assert summary["final"]["heldout"]["clips"] == 2
