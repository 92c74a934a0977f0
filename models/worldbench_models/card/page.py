"""The card as Markdown; every number comes from the run."""

import json
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from worldbench_models.card.run import Run
from worldbench_models.card.words import words_of
from worldbench_models.gates.gate import MFU, Gate

LICENCE = "Apache-2.0, weights and code"

_PRESENCE = (
    "Quads in which both impossible clips together surprise more than both possible, ties ½. Of "
    "the twin, a network with random weights, ½ is expected with the target occluded, by "
    "construction of the quads. In plain sight it is not: there the change between frames alone "
    "tells the clips apart, so the twin's visible row may lie anywhere."
)


def page(run: Run, *, notes: str | None = None) -> str:
    """Writes a run's card.

    Args:
        run: The run.
        notes: What was tried for gates that failed, as somebody wrote it.

    Returns:
        Markdown that shows ``curves.svg`` and, with rollouts, ``sheet.jpg`` of its own folder.

    Raises:
        UsageError: If there are no words for such a model.
    """
    words = words_of(str(run.summary["model"]), run.overrides)
    parts = [f"# {run.name}", words.what, "## Use", words.load]
    parts += ["## Gates", *_gates(run, notes)]
    parts += ["## Training", _table(("what", "value"), _training(run))]
    parts += ["![Training loss, held-out errors and rollouts](curves.svg)"]
    parts += ["### Settings", _table(("setting", "value"), _flat(run.summary["settings"]))]
    parts += ["## Measurements on the calibration split", *_measured(run.report.measured)]
    if run.rollouts is not None:
        said = "Truth in the first row of each clip, independent samples below it."
        parts += ["## Rollouts", said, "![Rollouts beside the truth](sheet.jpg)"]
    parts += ["## Limits", "\n".join(f"- {limit}" for limit in words.limits)]
    parts += ["## Licence", f"{LICENCE}. Trained on clips that worldbench itself renders."]
    return "\n\n".join(parts) + "\n"


def _gates(run: Run, notes: str | None) -> list[str]:
    gates = run.report.gates
    counts = {
        status: sum(gate.status == status for gate in gates)
        for status in ("passed", "failed", "not measured")
    }
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    rows = [
        (gate.name, f"**{gate.status}**", _value(gate), _bound(gate), _remark(gate), gate.what)
        for gate in gates
    ]
    head = ("gate", "status", "value", "bound", "remark", "what is measured")
    parts = [f"{told}.", _table(head, rows)]
    if notes is not None:
        parts += ["What was tried:", notes.strip()]
    elif counts["failed"]:
        parts.append("What was tried for the gates that failed has not been written down.")
    return parts


def _value(gate: Gate) -> str:
    return "–" if gate.value is None else f"{gate.value:.3f}"


def _bound(gate: Gate) -> str:
    if gate.direction == "by eye":
        return gate.direction
    return "–" if gate.threshold is None else f"{gate.direction} {gate.threshold:.3g}"


def _remark(gate: Gate) -> str:
    return "; ".join(said for said in (gate.reason, gate.note) if said)


def _training(run: Run) -> list[tuple[str, str]]:
    about, seconds = run.summary, run.summary["seconds"]
    speeds = [line["clips_per_second"] for line in run.training if line.get("clips_per_second")]
    changed = {True: ", with uncommitted changes", False: "", None: ""}[about["dirty"]]
    rows = [
        ("parameters", _count(about["parameters"])),
        ("data", _listed(about["data"]["spec"])),
        ("data digest", about["data"]["digest"]),
        ("steps", _count(about["steps"])),
        ("clips seen", _count(about["clips_seen"])),
        ("unique clips", _count(about["unique_clips"])),
        ("forward per clip, counted", _flops(about["flops_per_clip"])),
        ("training in all, counted", _flops(about["training_flops"])),
        ("device", f"{about['device']}, {about['processes']} process(es)"),
        *((f"wall time, {part}", _time(time)) for part, time in seconds.items()),
        ("throughput (median)", f"{median(speeds):,.0f} clips/s" if speeds else "not logged"),
        ("MFU (median)", _mfu(run)),
        ("packages", _listed({"python": about["python"], **about["packages"]})),
        ("commit", f"{about['commit'] or 'unknown'}{changed}"),
        ("weights, SHA-256", about["weights_sha256"]),
    ]
    return [(name, str(value)) for name, value in rows]


def _measured(measured: Mapping[str, Any]) -> list[str]:
    parts = []
    if "forecast" in measured:
        parts += _forecast(measured["forecast"])
    if "presence" in measured:
        rows = [
            (who, condition, *_accuracy(one))
            for who, by in measured["presence"].items()
            for condition, one in by.items()
        ]
        head = ("who", "condition", "accuracy", "n", "ties", "skipped", "by noise level alone")
        said = _PRESENCE
        parts += ["### Presence", said, _table(head, rows)]
    return parts or ["Nothing was measured."]


def _forecast(found: Mapping[str, Any]) -> list[str]:
    ratio, error, energy = found["to_linear_flow"], found["error"], found["energy"]
    rows = [
        (
            f"+{frame + 1}",
            f"{ratio['value'][frame]:.3f} [{ratio['low'][frame]:.3f}, {ratio['high'][frame]:.3f}]",
            f"{found['to_copy_last']['value'][frame]:.3f}",
            *(f"{error[who][frame]:.5f}" for who in ("model", "linear_flow", "copy_last")),
            *(f"{energy[who][frame]:.3f}" for who in ("model", "linear_flow", "copy_last")),
        )
        for frame in range(len(ratio["value"]))
    ]
    head = (
        *("frame", "error / linear_flow [95 %]", "error / copy_last"),
        *("error", "of linear_flow", "of copy_last"),
        *("energy score", "of linear_flow", "of copy_last"),
    )
    said = (
        f"{found['clips']} clips with a still camera and moving objects (of {found['drawn']} "
        f"drawn), {found['samples']} samples each. Error: mean squared error of the mean of the "
        "samples over the pixels that differ from the last context frame. Energy score "
        "(Gneiting & Raftery 2007): over whole frames, lower is better."
    )
    return ["### Forecasts", said, _table(head, rows)]


def _accuracy(one: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    value, error, levels = one["value"], one["standard_error"], one["levels"]
    said = "none scored" if value is None else f"{value:.3f}"
    said += "" if error is None else f" ± {error:.3f}"
    by_level = _listed({k: f"{v:.3f}" for k, v in levels.items()}) if levels else "–"
    ties = "–" if one["ties"] is None else str(one["ties"])
    return said, str(one["n"]), ties, str(one["skipped"]), by_level


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """Returns text that stays inside its cell and is no HTML."""
    flat = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return flat.replace("&", "&amp;").replace("<", "&lt;")


def _flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in sorted(settings.items()):
        if isinstance(value, Mapping):
            rows += _flat(value, f"{above}{name}.")
        else:
            rows.append((f"{above}{name}", _plain(value)))
    return rows


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in sorted(values.items()))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _count(number: int) -> str:
    return f"{number:,}"


def _flops(number: int | float) -> str:
    power = min(6, int(math.log10(number) // 3)) if number >= 1 else 0
    return f"{number / 1000.0**power:.3g} {('', 'k', 'M', 'G', 'T', 'P', 'E')[power]}FLOP"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    hours = f"{minutes // 60} h " if minutes >= 60 else ""
    return f"{hours}{minutes % 60} min {round(seconds) % 60} s"


def _mfu(run: Run) -> str:
    if run.summary["mfu"] is not None:
        return f"{run.summary['mfu']:.1%}"
    reasons = [str(gate.reason) for gate in run.report.gates if gate.name == MFU]
    return ": ".join(["not measured", *reasons])
