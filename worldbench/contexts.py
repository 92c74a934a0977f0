"""``worldbench data contexts``: what a closed system needs to be scored from its files.

Writes the context of every trial as an H.264 file and a list of items. Feed the clips to the
system, export its continuations, and score them with ``adapter=video_folder``.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from worldbench.adapters.rollout_manifest import file_names
from worldbench.compose import compose, instantiate
from worldbench.data.video import encode
from worldbench.errors import UsageError
from worldbench.progress import Progress
from worldbench.record import write_atomic


def export_contexts(
    overrides: Sequence[str], out: Path, config_dir: str | None = None, crf: int = 10
) -> int:
    """Writes ``<name>.mp4`` per trial and ``items.jsonl`` with item id, name, fps and horizon.

    Args:
        overrides: As for ``worldbench run``; data and suite matter.
        out: The folder to fill.
        config_dir: A folder with the user's own configurations.
        crf: H.264 quality; low, since the system should see what other models see.

    Returns:
        The number of trials.

    Raises:
        UsageError: If the suite's trials have no context and horizon.
        WorldbenchError: If data or folder cannot be used.
    """
    config = compose([*overrides, "adapter=real_future"], config_dir)
    suite, data = instantiate("suite", config.suite), instantiate("data", config.data)
    context, horizon = getattr(suite, "context", None), getattr(suite, "horizon", None)
    if context is None or horizon is None:
        raise UsageError(
            f"suite {config.suite.name!r} has no context to export",
            accepted="a suite with a context and a horizon",
            fix="suite=video_distance",
        )
    trials = suite.trials(data)[: config.limit]
    names = file_names([trial.id for trial in trials])
    lines = []
    with Progress().task("contexts", len(trials)) as step:
        for trial in trials:
            (clip,) = data.load(trial.clips)
            out.mkdir(parents=True, exist_ok=True)
            encode(out / f"{names[trial.id]}.mp4", clip[:context], data.fps, crf=crf)
            item = {"item_id": trial.id, "name": names[trial.id], "context": context}
            lines.append(json.dumps({**item, "horizon": horizon, "fps": data.fps}))
            step.add(1)
    write_atomic(out / "items.jsonl", ("\n".join(lines) + "\n").encode())
    return len(trials)
