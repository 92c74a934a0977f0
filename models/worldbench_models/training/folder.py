"""The folder of a run: whose it is, and what lies in it."""

import json
from pathlib import Path
from typing import Any

from worldbench.errors import UsageError
from worldbench.record import file_digest, write_atomic
from worldbench_models.training.pool import data_identity
from worldbench_models.training.recipe import Plan
from worldbench_models.training.settings import Settings
from worldbench_models.weights import file_name

RUN, LOG, CHECKPOINT, SUMMARY = "run.json", "log.jsonl", "checkpoint.pt", "summary.json"
GATES, ROLLOUTS = "gates.json", "rollouts.npz"  # measured later, on the run's weights


def weights_file(settings: Settings) -> Path:
    """Returns where a run's weights go."""
    return settings.out / file_name(settings.model, settings.size)


def kept_weights(settings: Settings, step: int) -> Path:
    """Returns where a run's weights after some steps go, if they are kept."""
    whole = weights_file(settings)
    return whole.with_name(f"{whole.stem}-step{step:06d}{whole.suffix}")


def asked(settings: Settings, plan: Plan, processes: int) -> dict[str, Any]:
    """Returns everything that was asked for and that a resumed run must ask for again.

    Where it runs is not part of it: a run may go on on another machine.
    """
    return {
        "model": settings.model,
        "size": settings.size,
        "options": dict(settings.options),
        "precision": settings.precision,
        "steps": plan.steps,
        "batch_size": plan.batch_size,
        "clips": data_identity(settings.clips, processes)["digest"],
        "heldout_clips": settings.heldout_clips,
        "seed": settings.seed,
        "processes": processes,
    }


def claim(settings: Settings, wanted: dict[str, Any]) -> None:
    """Makes the folder this run's.

    Args:
        settings: What was asked for; ``overwrite`` clears what another run left.
        wanted: Of :func:`asked`.

    Raises:
        UsageError: If it holds a run that was asked for otherwise.
        EnvironmentFault: If it cannot be written.
    """
    folder = settings.out
    found = [folder / name for name in (RUN, LOG, CHECKPOINT, SUMMARY, GATES, ROLLOUTS)]
    found.append(weights_file(settings))
    found += folder.glob(kept_weights(settings, 0).name.replace("000000", "*"))
    if settings.overwrite:
        for path in found:
            path.unlink(missing_ok=True)
    else:
        _refuse_another(folder, [p for p in found if p.exists()], wanted)
    write_atomic(folder / RUN, (json.dumps(wanted, indent=2, sort_keys=True) + "\n").encode())


def finished(settings: Settings, identity: str) -> Path | None:
    """Returns the weights if the run of this identity is finished and they are whole."""
    weights = weights_file(settings)
    summary = _read(settings.out / SUMMARY)
    if summary.get("identity") != identity or not weights.is_file():
        return None
    return weights if summary.get("weights_sha256") == file_digest(weights) else None


def _refuse_another(folder: Path, found: list[Path], wanted: dict[str, Any]) -> None:
    before = _read(folder / RUN)
    if not found or before == wanted:
        return
    other = sorted(k for k in wanted.keys() | before.keys() if before.get(k) != wanted.get(k))
    raise UsageError(
        f"{folder} holds a run with other options",
        seen="; ".join(f"{name}: {before.get(name)}" for name in other),
        accepted="; ".join(f"{name}: {wanted.get(name)}" for name in other),
        fix="out=ANOTHER_FOLDER, or overwrite=true to replace what is there",
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
