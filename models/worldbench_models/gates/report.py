"""A model's list of gates: measured, written to ``gates.json``, read again."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from worldbench.adapter import Adapter, Generates, Surprises
from worldbench.data.worlds.content import Tell
from worldbench.errors import DataError, UsageError
from worldbench.provenance import device_name
from worldbench.record import file_digest, write_atomic
from worldbench_models.gates.clips import moving_clips
from worldbench_models.gates.forecast import forecast_gates, measure_forecast
from worldbench_models.gates.gate import Gate, eye_gate, mfu_gate
from worldbench_models.gates.presence import measure_presence, presence_gates
from worldbench_models.gates.quads import presence_quads
from worldbench_models.gates.rollouts import roll_out
from worldbench_models.gates.trained import Trained
from worldbench_models.training.folder import GATES, ROLLOUTS

_SCHEMA = 1


@dataclass(frozen=True)
class Settings:
    """How much is measured, and where.

    Attributes:
        clips: Moving-object clips.
        samples: Rollouts per clip.
        quads: Presence quads.
        batch: Clips or quads at once.
        device: Where adapters are asked.
        operator: How surprise is measured.
        workers: Processes that simulate; as many as there are cores if None.
    """

    clips: int = 256
    samples: int = 8
    quads: int = 240
    batch: int = 16
    device: str = "cpu"
    operator: str = "denoising_error"
    workers: int | None = None


@dataclass(frozen=True)
class Report:
    """What the gates of a model say, with everything they were measured from.

    Attributes:
        adapter: Name, revision and number of parameters.
        gates: The list.
        measured: Curves and accuracies, by what was measured.
        settings: How.
        seconds: Wall time of each part.
        weights_sha256: Of the weight file that was measured.
        rollouts_sha256: Of ``rollouts.npz``; None where the model rolls nothing out.
    """

    adapter: dict[str, Any]
    gates: tuple[Gate, ...]
    measured: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    weights_sha256: str | None = None
    rollouts_sha256: str | None = None

    def write(self, folder: Path) -> None:
        """Writes ``gates.json`` into a run folder, whole or not at all.

        Raises:
            EnvironmentFault: If it cannot be written.
        """
        fields = {
            "schema": _SCHEMA,
            "adapter": self.adapter,
            "gates": [gate.to_dict() for gate in self.gates],
            "measured": self.measured,
            "settings": self.settings,
            "seconds": self.seconds,
            "weights_sha256": self.weights_sha256,
            "rollouts_sha256": self.rollouts_sha256,
        }
        text = json.dumps(fields, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
        write_atomic(folder / GATES, (text + "\n").encode())

    def with_gate(self, gate: Gate) -> "Report":
        """Returns the report with the gate of that name replaced, or added at the end."""
        names = [each.name for each in self.gates]
        gates = tuple(gate if each.name == gate.name else each for each in self.gates)
        gates = gates if gate.name in names else (*gates, gate)
        return replace(self, gates=gates)


def read_report(folder: Path) -> Report:
    """Reads the ``gates.json`` of a run folder.

    Raises:
        DataError: If there is none, or it is not one of ours.
    """
    path = folder / GATES
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields.pop("schema") != _SCHEMA:
            raise ValueError("another schema version")
        gates = tuple(Gate(**gate) for gate in fields.pop("gates"))
        return Report(gates=gates, **fields)
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(
            f"cannot read the gates of {folder}",
            seen=f"{type(error).__name__}: {error}",
            accepted=f"{GATES} as the gates command writes it",
            fix=f"python -m worldbench_models.gates {folder}",
        ) from error


def measure_gates(
    adapter: Adapter,
    twin: Adapter | None,
    run: Trained,
    settings: Settings,
    tell: Callable[[str], Tell],
) -> Report:
    """Measures every gate that fits what the adapter can do, and keeps its rollouts for the eye.

    Writes ``rollouts.npz`` and ``gates.json`` into the run folder.

    Args:
        adapter: The model, with the weights of the run.
        twin: The model with random weights; None leaves its gate unmeasured.
        run: The run, which says how fast training was.
        settings: How much, and where.
        tell: Gives, for the name of a part, what is called with (done, in all).

    Raises:
        UsageError: If the adapter can do nothing that has a gate.
        ContractError: If an answer breaks the contract.
    """
    _require_gates(adapter)
    gates, measured, seconds = _measured(adapter, twin, run.folder, settings, tell)
    card, stored = adapter.card, run.folder / ROLLOUTS
    report = Report(
        {"name": card.name, "revision": card.revision, "parameters": card.parameters},
        (*gates, mfu_gate(*run.mfu())),
        measured,
        _shown(settings),
        seconds,
        run.sha256,
        file_digest(stored) if isinstance(adapter, Generates) else None,
    )
    report.write(run.folder)
    return report


def _require_gates(adapter: Adapter) -> None:
    if not isinstance(adapter, Generates | Surprises):
        raise UsageError(
            f"adapter {adapter.card.name!r} has no gates",
            seen=", ".join(adapter.card.capabilities),
            accepted="an adapter that generates or is surprised",
        )


def _measured(
    adapter: Adapter,
    twin: Adapter | None,
    folder: Path,
    settings: Settings,
    tell: Callable[[str], Tell],
) -> tuple[list[Gate], dict[str, Any], dict[str, float]]:
    """Returns the gates, what they were measured from, and the wall time of each part."""
    gates: list[Gate] = []
    measured: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    began = time.perf_counter()
    if isinstance(adapter, Generates):
        roll_out(adapter, device=settings.device).save(folder / ROLLOUTS)
        gates += _forecast(adapter, settings, measured, tell)
        gates.append(eye_gate())
        seconds["forecast"] = round(time.perf_counter() - began, 1)
    began = time.perf_counter()
    if isinstance(adapter, Surprises):
        gates += _presence(adapter, twin, settings, measured, tell)
        seconds["presence"] = round(time.perf_counter() - began, 1)
    return gates, measured, seconds


def _shown(settings: Settings) -> dict[str, Any]:
    how = {name: value for name, value in asdict(settings).items() if name != "workers"}
    return how | {
        "device": device_name(torch.device(settings.device)),
        "torch": torch.__version__,
    }


def _forecast(
    adapter: Adapter,
    settings: Settings,
    measured: dict[str, Any],
    tell: Callable[[str], Tell],
) -> list[Gate]:
    clips = moving_clips(
        settings.clips,
        device=settings.device,
        workers=settings.workers,
        tell=tell("moving-object clips"),
    )
    found = measure_forecast(
        adapter, clips, samples=settings.samples, batch=settings.batch, tell=tell("rollouts")
    )
    measured["forecast"] = found.to_dict()
    return forecast_gates(found)


def _presence(
    adapter: Adapter,
    twin: Adapter | None,
    settings: Settings,
    measured: dict[str, Any],
    tell: Callable[[str], Tell],
) -> list[Gate]:
    quads = presence_quads(settings.quads, workers=settings.workers, tell=tell("presence quads"))
    asked = {"model": adapter} if twin is None else {"model": adapter, "twin": twin}
    found = {
        who: {
            condition: measure_presence(
                each,
                quads,
                condition,
                operator=settings.operator,
                batch=settings.batch,
                device=settings.device,
                tell=tell(f"{who}, {condition}"),
            )
            for condition in ("occluded", "visible")
        }
        for who, each in asked.items()
    }
    measured["presence"] = {
        who: {condition: one.to_dict() for condition, one in by.items()}
        for who, by in found.items()
    }
    return presence_gates(found["model"], found.get("twin"))
