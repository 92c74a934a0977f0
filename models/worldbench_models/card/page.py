"""The card as Markdown; every number comes from the run."""

from statistics import median

from worldbench_models.card.markdown import count, duration, flattened, flops, listed, table
from worldbench_models.card.measurements import measurements
from worldbench_models.card.run import Run
from worldbench_models.card.words import words_of
from worldbench_models.gates.gate import MFU, Gate

LICENCE = "Apache-2.0, weights and code"


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
    parts += ["## Training", table(("what", "value"), _training(run))]
    parts += [*words.before_curves, f"![{words.curves}](curves.svg)"]
    parts += ["### Settings", table(("setting", "value"), flattened(run.summary["settings"]))]
    parts += ["## Measurements on the calibration split", *measurements(run.report.measured)]
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
    parts = [f"{told}.", table(head, rows)]
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
        ("parameters", count(about["parameters"])),
        ("data", listed(about["data"]["spec"])),
        ("data digest", about["data"]["digest"]),
        ("steps", count(about["steps"])),
        ("clips seen", count(about["clips_seen"])),
        ("unique clips", count(about["unique_clips"])),
        ("forward per clip, counted", flops(about["flops_per_clip"])),
        ("training in all, counted", flops(about["training_flops"])),
        ("device", f"{about['device']}, {about['processes']} process(es)"),
        *((f"wall time, {part}", duration(time)) for part, time in seconds.items()),
        ("throughput (median)", f"{median(speeds):,.0f} clips/s" if speeds else "not logged"),
        ("MFU (median)", _mfu(run)),
        ("packages", listed({"python": about["python"], **about["packages"]})),
        ("commit", f"{about['commit'] or 'unknown'}{changed}"),
        ("weights, SHA-256", about["weights_sha256"]),
    ]
    return [(name, str(value)) for name, value in rows]


def _mfu(run: Run) -> str:
    if run.summary["mfu"] is not None:
        return f"{run.summary['mfu']:.1%}"
    reasons = [str(gate.reason) for gate in run.report.gates if gate.name == MFU]
    return ": ".join(["not measured", *reasons])
