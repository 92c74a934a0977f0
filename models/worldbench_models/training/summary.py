"""What remains of a finished run: weights, and a summary that says how they came about."""

import json
import platform
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from worldbench.provenance import commit, device_name, installed
from worldbench.record import file_digest, write_atomic
from worldbench_models.training.folder import SUMMARY, kept_weights, weights_file
from worldbench_models.training.pool import data_identity
from worldbench_models.training.recipe import Recipe
from worldbench_models.weights import save_weights

if TYPE_CHECKING:
    from worldbench_models.training.loop import Run

_PACKAGES = ("torch", "numpy", "mujoco", "mujoco-core", "safetensors")


def finish(recipe: Recipe, run: "Run") -> None:
    """Writes the weights, then the summary that vouches for them."""
    summary, weights = _summary(run), weights_file(run.settings)
    summary["parameters"] = _write(recipe, run, summary, weights)
    summary["weights_sha256"] = file_digest(weights)
    text = json.dumps(summary, indent=2, sort_keys=True) + "\n"
    write_atomic(run.settings.out / SUMMARY, text.encode())


def keep(recipe: Recipe, run: "Run") -> None:
    """Writes the weights as they are after the steps done, beside those of other steps."""
    _write(recipe, run, _summary(run), kept_weights(run.settings, run.done.step))


def _write(recipe: Recipe, run: "Run", summary: dict[str, Any], path: Path) -> int:
    """Writes weights; returns how many there are."""
    settings = run.settings
    release = recipe.release(run.learner.averaged, settings.size)
    header = release.header | {
        "model": settings.model,
        "size": settings.size,
        "training_data": _data_words(summary),
        "training_compute": _compute_words(summary),
        "licence": "Apache-2.0",
    }
    save_weights(path, release.state, header)
    return sum(tensor.numel() for tensor in release.state.values())


def _summary(run: "Run") -> dict[str, Any]:
    settings, plan = run.settings, run.plan
    lines = run.log.lines()
    # The first line pays for compilation.
    rates = [line["mfu"] for line in lines if line.get("mfu") is not None][1:]
    speeds = [line["clips_per_second"] for line in lines if "clips_per_second" in line]
    seen = run.done.step * plan.batch_size
    commit_id, dirty = commit()
    return {
        "model": settings.model,
        "size": settings.size,
        "identity": run.identity,
        "settings": _shown(run),
        "steps": plan.steps,
        "clips_seen": seen,
        "unique_clips": settings.clips,
        "flops_per_clip": run.recipe.clip_flops(settings.size),
        "training_flops": round(run.training_flops * seen),
        "seconds": {name: round(value, 1) for name, value in run.done.seconds.items()},
        "clips_per_second": median(speeds),
        "mfu": median(rates) if rates else None,
        "device": device_name(settings.device),
        "processes": run.count,
        "data": data_identity(settings.clips, run.count),
        "packages": installed(_PACKAGES),
        "python": platform.python_version(),
        "commit": commit_id,
        "dirty": dirty,
        "final": next((line for line in reversed(lines) if "heldout" in line), None),
    }


def _shown(run: "Run") -> dict[str, Any]:
    settings = run.settings
    return {
        **{name: getattr(settings, name) for name in ("precision", "compile", "seed")},
        **{name: getattr(settings, name) for name in ("clips", "heldout_clips")},
        "batch_size": run.plan.batch_size,
        "steps": run.plan.steps,
        "model": dict(settings.options),
    }


def _data_words(summary: dict[str, Any]) -> str:
    data = summary["data"]
    spec = data["spec"]
    size = "×".join(map(str, [spec["frames"], *spec["size"]]))
    return (
        f"{summary['unique_clips']} clips of {size} from the procedural worlds, family "
        f"{spec['family']}, split {spec['split']} (digest {data['digest'][:12]}); "
        f"{summary['clips_seen']} shown"
    )


def _compute_words(summary: dict[str, Any]) -> str:
    minutes = summary["seconds"]["training"] / 60
    return (
        f"{summary['training_flops']:.3g} FLOP, {minutes:.1f} min on "
        f"{summary['processes']} × {summary['device']}"
    )
