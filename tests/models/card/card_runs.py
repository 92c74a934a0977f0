"""Run folders as training and the gates leave them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from worldbench_models.gates.features import PIXELS, Features, Pooled, Readout, feature_gates
from worldbench_models.gates.foresight import Foresight, Skill, foresight_gates
from worldbench_models.gates.gate import Gate, mfu_gate
from worldbench_models.gates.presence import Accuracy, presence_gates
from worldbench_models.gates.report import Report

SUMMARY = {
    "model": "jepa",
    "size": "xs",
    "parameters": 1_900_000,
    "settings": {"batch_size": 128, "seed": 0, "steps": 40, "model": {"collapse": "ema"}},
    "steps": 40,
    "clips_seen": 5120,
    "unique_clips": 4096,
    "flops_per_clip": 3.0e9,
    "training_flops": 4.0e13,
    "seconds": {"clips": 31.4, "training": 60.0},
    "mfu": 0.27,
    "device": "NVIDIA H100 <80GB>",
    "processes": 1,
    "data": {"spec": {"family": "train_random", "frames": 16}, "digest": "d" * 64},
    "packages": {"torch": "2.13.0"},
    "python": "3.11.9",
    "commit": "abc123",
    "dirty": False,
    "final": {},
}

HELDOUT = {
    "feature_std": 0.9,
    "rank_me": 40.0,
    "skill": {
        "4": {"mean": 0.61, "median": 0.51, "copy": 0.52},
        "12": {"mean": 0.62, "median": 0.53, "copy": -0.25},
    },
    "ridge_r2": {"position": 0.6, "velocity": 0.4},
}


def write_run(
    folder: Path,
    *,
    heldout: Sequence[Mapping[str, Any]] = (HELDOUT,),
    gates: Sequence[Gate] | None = None,
    measured: Mapping[str, Any] | None = None,
    **summary: Any,
) -> Path:
    """Writes a run, with gates if there are any; the folder's name makes the weights' digest."""
    folder.mkdir(parents=True)
    fields = {**SUMMARY, "weights_sha256": sha256(folder.name.encode()).hexdigest(), **summary}
    lines: list[dict[str, Any]] = []
    for index, found in enumerate(heldout):
        lines.append({"step": 20 * index + 1, "loss": 0.3 + index, "clips_per_second": 4000.0})
        lines.append({"step": 20 * index + 20, "heldout": found})
    lines = lines or [{"step": 1, "loss": 0.3}]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (folder / "summary.json").write_text(json.dumps(fields))
    if gates is not None:
        report = Report({"name": "jepa"}, tuple(gates), dict(measured or {}))
        replace(report, weights_sha256=fields["weights_sha256"]).write(folder)
    return folder


FORESIGHT = Foresight(
    512,
    512,
    {
        "mean": {"4": Skill(0.612, 0.6, 0.62), "8": Skill(0.7, 0.69, 0.71)},
        "median": {"4": Skill(0.513, 0.5, 0.52), "8": Skill(0.6, 0.59, 0.61)},
        "copy": {"4": Skill(0.314, 0.3, 0.33), "8": None},
        "still": {"4": Skill(0.2, 0.1, 0.3), "8": Skill(0.25, 0.2, 0.3)},
    },
    illegal=(12,),
)

FEATURES = Features(
    {"model": Pooled(1024, 60.04, 0.123), "twin": Pooled(1024, 15.01, 0.045)},
    768,
    {
        "position": {
            "model": Readout(0.75, (0.7, 0.8), "block3", (0.01, 10.0)),
            "twin": Readout(0.1, (0.1, 0.1), "block1", (1.0, 1.0)),
            PIXELS: Readout(0.2, (0.3, 0.1), None, (1.0, 100.0)),
        },
    },
)


def write_jepa(folder: Path, **summary: Any) -> Path:
    """Writes a JEPA's run with the gates that its measurements give."""
    presence = {
        "occluded": Accuracy(0.975, 0.01, 240, 0, None, 3),
        "visible": Accuracy(1.0, 0.0, 240, 0, None, 0),
    }
    gates = [
        *foresight_gates(FORESIGHT),
        *feature_gates(FEATURES),
        *presence_gates(presence, None),
        mfu_gate(0.27, "", bound=0.25),
    ]
    measured = {
        "foresight": FORESIGHT.to_dict(),
        "features": FEATURES.to_dict(),
        "presence": {"model": {name: one.to_dict() for name, one in presence.items()}},
    }
    later = {**HELDOUT, "rank_me": 50.0}
    return write_run(folder, heldout=(HELDOUT, later), gates=gates, measured=measured, **summary)
