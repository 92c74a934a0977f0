"""A model's list of gates: measured, written to ``gates.json``, read again."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from worldbench.adapter import Adapter, Generates, Surprises
from worldbench.data.worlds.content import Tell
from worldbench.errors import DataError
from worldbench.provenance import device_name
from worldbench.record import file_digest, write_atomic
from worldbench_models.gates.gate import GENERATORS_MFU, PREDICTORS_MFU, Gate, mfu_gate
from worldbench_models.gates.latents import Foresees
from worldbench_models.gates.measure import Settings, measure, require_gates
from worldbench_models.gates.operators import chosen_operator
from worldbench_models.gates.trained import Trained
from worldbench_models.training.folder import GATES, ROLLOUTS

_SCHEMA = 1


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

    Writes ``gates.json`` into the run folder, and ``rollouts.npz`` where there are rollouts.

    Args:
        adapter: The model, with the weights of the run.
        twin: The model with random weights; None leaves its gate unmeasured.
        run: The run, which says how fast training was.
        settings: How much, and where.
        tell: Gives, for the name of a part, what is called with (done, in all).

    Raises:
        UsageError: If the adapter can do nothing that has a gate, or has not the operator of the
            settings.
        ContractError: If an answer breaks the contract.
    """
    require_gates(adapter)
    if isinstance(adapter, Surprises):
        settings = replace(settings, operator=chosen_operator(adapter.card, settings.operator))
    found = measure(adapter, twin, run.folder, settings, tell)
    card, stored = adapter.card, run.folder / ROLLOUTS
    bound = PREDICTORS_MFU if isinstance(adapter, Foresees) else GENERATORS_MFU
    report = Report(
        {"name": card.name, "revision": card.revision, "parameters": card.parameters},
        (*found.gates, mfu_gate(*run.mfu(), bound=bound)),
        found.values,
        _shown(adapter, settings),
        found.seconds,
        run.sha256,
        file_digest(stored) if isinstance(adapter, Generates) else None,
    )
    report.write(run.folder)
    return report


def _shown(adapter: Adapter, settings: Settings) -> dict[str, Any]:
    """Returns how it was measured, as far as the adapter was asked."""
    asked = {"batch"}
    for kind, names in (
        (Generates, {"clips", "samples"}),
        (Foresees, {"pool", "motion"}),
        (Surprises, {"quads", "operator"}),
    ):
        asked |= names if isinstance(adapter, kind) else set()
    how = {name: value for name, value in asdict(settings).items() if name in asked}
    return how | {
        "device": device_name(torch.device(settings.device)),
        "torch": torch.__version__,
    }
