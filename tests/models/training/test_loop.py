import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_recipe import TinyRecipe

from worldbench.errors import DataError, UsageError, WorldbenchError
from worldbench.tracking import NoTracker
from worldbench_models.training import pool, processes
from worldbench_models.training.log import say_training
from worldbench_models.training.loop import train
from worldbench_models.training.settings import Settings
from worldbench_models.weights import load_weights


class Watching(NoTracker):
    """Keeps the numbers it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, dict[str, float]]] = []

    def metrics(self, values: Any, step: int) -> None:
        self.seen.append((step, dict(values)))


class Interrupted(TinyRecipe):
    """Is interrupted as by Ctrl-C in the midst of a step, or of held-out measures."""

    def __init__(self, step: int | None = None, measure: int | None = None) -> None:
        super().__init__()
        self.steps_left, self.measures_left = step, measure

    def draws(self, size: str, batch: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        self.steps_left = self._count(self.steps_left)
        return super().draws(size, batch, generator)

    def heldout(self, objective: torch.nn.Module, clips: torch.Tensor) -> dict[str, Any]:
        self.measures_left = self._count(self.measures_left)
        return super().heldout(objective, clips)

    def _count(self, left: int | None) -> int | None:
        if left == 0:
            signal.raise_signal(signal.SIGINT)
        return None if left is None else left - 1


@pytest.fixture(autouse=True)
def few_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the loop random bytes for clips: what is simulated is tested where it is made."""

    def clips_of(spec: Any, count: int, device: torch.device, **_: Any) -> torch.Tensor:
        generator = torch.Generator().manual_seed(spec.seed + len(spec.split))
        shape = (count, 2, 16, 16, 3)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    monkeypatch.setattr(pool, "clips_of", clips_of)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        model="tiny",
        options={"learning_rate": 0.05},
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


def heldout(settings: Settings) -> list[dict[str, Any]]:
    lines = (settings.out / "log.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if "heldout" in line]


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


@pytest.mark.parametrize("interrupted", [{"step": 0}, {"step": 6}, {"step": 11}, {"measure": 1}])
@pytest.mark.parametrize("log_every", [1, 5])
def test_an_interrupted_run_resumes_with_the_very_same_losses(
    settings: Settings, tmp_path: Path, interrupted: dict[str, int], log_every: int
) -> None:
    settings = replace(settings, log_every=log_every, checkpoint_every=1000)
    train(TinyRecipe(), settings, NoTracker())
    other = replace(settings, out=tmp_path / "other")
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(**interrupted), other, NoTracker())
    assert (other.out / "checkpoint.pt").exists()
    train(TinyRecipe(), other, NoTracker())
    assert losses(other) == losses(settings)
    assert heldout(other) == heldout(settings)
    name = "tiny-s.safetensors"
    assert (other.out / name).read_bytes() == (settings.out / name).read_bytes()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Has SIGINT handled as usual: whoever is started in a script's background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_second_interrupt_stops_at_once_and_saves_nothing_half_done(settings: Settings) -> None:
    class Impatient(Interrupted):
        def _count(self, left: int | None) -> int | None:
            if left == 0:
                signal.raise_signal(signal.SIGINT)
            return super()._count(left)

    with pytest.raises(KeyboardInterrupt):
        train(Impatient(step=6), settings, NoTracker())
    saved = torch.load(settings.out / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 4  # where the last checkpoint was due
    before = signal.getsignal(signal.SIGINT)
    assert before is signal.default_int_handler


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


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"options": {"learning_rate": 0.1}}, {"steps": 13}, {"heldout_clips": 4}],
)
@pytest.mark.parametrize("lost", [(), ("checkpoint.pt",), ("checkpoint.pt", "run.json")])
def test_a_folder_of_other_options_is_refused_and_left_alone(
    settings: Settings, other: dict[str, Any], lost: tuple[str, ...]
) -> None:
    train(TinyRecipe(), settings, NoTracker())
    for name in lost:
        (settings.out / name).unlink()
    before = {path.name: path.read_bytes() for path in settings.out.iterdir()}
    with pytest.raises(UsageError, match="other options") as caught:
        train(TinyRecipe(), replace(settings, **other), NoTracker())
    assert next(iter(other)) in str(caught.value)
    assert {path.name: path.read_bytes() for path in settings.out.iterdir()} == before


def test_weights_of_every_heldout_measure_stay_where_asked(settings: Settings) -> None:
    wanted = replace(settings, keep_weights=True)
    last = train(TinyRecipe(), wanted, NoTracker())
    kept = sorted(wanted.out.glob("*-step*.safetensors"))
    assert [path.name for path in kept] == [
        f"tiny-s-step{step:06d}.safetensors" for step in (5, 10, 12)
    ]
    found = [load_weights(path, model="tiny") for path in kept]
    measured = [line["heldout"]["value"] for line in heldout(wanted)]
    assert [each.state["value"].item() for each in found] == pytest.approx(
        measured, rel=4e-3
    )  # bf16
    assert found[-1].state["value"].equal(load_weights(last, model="tiny").state["value"])
    assert "20 shown" in str(found[0].header["training_data"])
    train(TinyRecipe(), replace(settings, overwrite=True), NoTracker())
    assert not list(wanted.out.glob("*-step*"))


def test_starting_over_leaves_nothing_of_the_run_before(settings: Settings) -> None:
    train(TinyRecipe(), settings, NoTracker())
    (settings.out / "gates.json").write_text("{}")
    fresh = replace(settings, overwrite=True, seed=1)
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(step=0), fresh, NoTracker())
    assert sorted(path.name for path in settings.out.iterdir()) == [
        *("checkpoint.pt", "log.jsonl", "run.json")
    ]
    with pytest.raises(UsageError, match="other options"):
        train(TinyRecipe(), settings, NoTracker())


def test_a_damaged_summary_is_written_again(settings: Settings) -> None:
    weights = train(TinyRecipe(), settings, NoTracker())
    (settings.out / "summary.json").write_text("[]")
    assert train(TinyRecipe(), settings, NoTracker()) == weights
    assert json.loads((settings.out / "summary.json").read_text())["model"] == "tiny"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04half a file", b"\x80\x02."])
def test_a_damaged_checkpoint_says_so(settings: Settings, content: bytes) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(step=2), settings, NoTracker())
    (settings.out / "checkpoint.pt").write_bytes(content)
    with pytest.raises(DataError, match="cannot read the checkpoint"):
        train(TinyRecipe(), settings, NoTracker())


@pytest.mark.parametrize("step", [2, 3, 6, 7])
def test_a_diverged_training_stops_and_is_never_saved(settings: Settings, step: int) -> None:
    with pytest.raises(WorldbenchError, match="diverged"):
        train(TinyRecipe(poison=step), settings, NoTracker())
    path = settings.out / "checkpoint.pt"
    assert path.exists() == (step >= 4)
    if path.exists():
        saved = torch.load(path, weights_only=True)
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


def test_too_few_clips_are_refused_before_any_is_made(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "clips_of", None)
    with pytest.raises(UsageError, match="clips cannot be dealt out"):
        train(TinyRecipe(), replace(settings, clips=3), NoTracker())


@pytest.mark.parametrize(
    ("other", "said"), [({"batch_size": 5}, "batch_size=6"), ({"clips": 11}, "clips=12")]
)
def test_what_processes_cannot_share_equally_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, other: dict[str, int], said: str
) -> None:
    monkeypatch.setattr(processes, "process_group", lambda device: nullcontext((0, 2)))
    with pytest.raises(UsageError, match="cannot be dealt out") as caught:
        train(TinyRecipe(), replace(settings, **other), NoTracker())
    assert f"fix:      {said}" in str(caught.value)


def test_clips_that_do_not_fit_into_memory_are_refused(settings: Settings) -> None:
    with pytest.raises(UsageError, match="do not fit into the memory") as caught:
        train(TinyRecipe(), replace(settings, clips=10**9), NoTracker())
    assert "GB free" in str(caught.value)


def test_the_time_left_counts_days(caplog: pytest.LogCaptureFixture) -> None:
    line = {"step": 1, "loss": 1.0, "batch": 512, "clips_per_second": 10.0, "tflops": 0.1}
    with caplog.at_level("INFO"):
        say_training(line | {"mfu": None}, 11_000)
    assert "6 days, 12:25:49 left" in caplog.text


@pytest.mark.slow
def test_two_processes_average_their_gradients(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(
        f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from pathlib import Path
import torch
from tiny_recipe import Mean, TinyRecipe
from torch import distributed
from worldbench_models.training import pool, processes
from worldbench_models.training.loop import train
from worldbench_models.training.settings import Settings
from worldbench.tracking import NoTracker

class Told(TinyRecipe):
    # Each process's own gradient is known: it pulls towards its rank.
    def objective(self, size, seed):
        class Pull(Mean):
            def forward(self, clips, noise):
                return (self.value - distributed.get_rank()).sum() ** 2 / 2
        return Pull(0.0)
    def optimisers(self, objective):
        return [torch.optim.SGD(objective.parameters(), 0.5)]
    def ema(self, step, steps):
        return 0.0

if __name__ == "__main__":
    black = torch.zeros(8, 2, 4, 4, 3, dtype=torch.uint8)
    pool.clips_of = lambda spec, count, device, **_: black[:count]
    run = Path({str(tmp_path / "run")!r})
    options = ({{}}, "s", torch.device("cpu"), "fp32", False, 3, 4, 8, 2, None, 0, 1)
    settings = Settings("tiny", *options, run, False, 1, 6, 6)
    weights = train(Told(), settings, NoTracker())
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
    # The mean gradient is value − ½; three steps of rate ½ from 0 lead to ½·(1 − 2⁻³). Alone, the
    # first process would stay at 0.
    assert summary["final"]["heldout"]["value"] == pytest.approx(0.4375)
