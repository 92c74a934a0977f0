"""``python -m worldbench.suites.show.views OUT --adapter dit``: views seen again."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from worldbench.adapter import Adapter, Generates
from worldbench.batches import clip_batches
from worldbench.compose import instantiate
from worldbench.errors import UsageError, unknown_name
from worldbench.leaderboard.markdown import escape
from worldbench.options import at_least, choose_device
from worldbench.record import write_atomic
from worldbench.schema import Trial
from worldbench.suite import Setting
from worldbench.suites.consistency3d import VIEWS, Consistency3D, is_view
from worldbench.suites.quad_trials import QuadSource, quad_source
from worldbench.suites.show.__main__ import (
    configurations,
    parser_of,
    require_writable,
    run,
)
from worldbench.suites.show.page import slug
from worldbench.suites.show.reprojection_figure import SeenView, reprojection_figure
from worldbench.suites.surprise import Asking
from worldbench.suites.view_geometry import View
from worldbench.suites.view_rows import view_cut

_PROGRAM = "python -m worldbench.suites.show.views"
_REAL = "real future"


def main(arguments: Sequence[str] | None = None) -> int:
    """Rolls a few views out and shows what is seen again.

    Returns:
        0, or an error's exit code.
    """
    parser = parser_of(
        _PROGRAM,
        "Pictures of the suite consistency3d: rollouts as the context saw the place.",
        "consistency3d_quick",
    )
    parser.add_argument("--view", action="append", default=[], metavar="ID", help="which views")
    return run(parser, _show, arguments)


def _show(asked: argparse.Namespace, command: str) -> list[Path]:
    configs = configurations(
        asked.adapter, asked.data, asked.config_dir, suite="consistency3d", program=_PROGRAM
    )
    setting = Setting(choose_device(asked.device), seed=at_least("--seed", asked.seed, 0))
    data, suite = instantiate("data", configs[0].data), instantiate("suite", configs[0].suite)
    source = quad_source(data, suite.name)
    trials = chosen(suite, source, asked.view)
    adapters = [instantiate("adapter", config.adapter) for config in configs]
    require_writable(asked.out)
    return write(asked.out, source, adapters, trials, setting, command)


def chosen(suite: Consistency3D, data: QuadSource, ids: Sequence[str]) -> list[Trial]:
    """Returns the views named, or the first of each family.

    Raises:
        UsageError: If there is no such view.
    """
    views = {trial.id: trial for trial in suite.trials(data) if is_view(trial)}
    unknown = next((name for name in ids if name not in views), None)
    if unknown is not None:
        raise unknown_name("view", unknown, views, fix=f"{_PROGRAM} OUT --view {next(iter(views))}")
    first = {views[name].factors["view"]: name for name in reversed(views)}
    return [views[name] for name in ids or [first[family] for family in VIEWS if family in first]]


def write(
    out: Path,
    data: QuadSource,
    adapters: Sequence[Adapter],
    trials: Sequence[Trial],
    setting: Setting,
    command: str,
) -> list[Path]:
    """Asks, draws and writes; the same rollouts give the same bytes.

    Args:
        out: The folder.
        data: A source of views.
        adapters: Who is asked; latents that are foreseen cannot be shown.
        trials: The views.
        setting: Device and seed.
        command: What the page says it was made by.

    Returns:
        The files, the page first.

    Raises:
        UsageError: If nobody generates pixels.
        WorldbenchError: If an adapter breaks the contract or a file cannot be written.
    """
    able = [adapter for adapter in adapters if isinstance(adapter, Generates)]
    if not able:
        raise UsageError(
            "nobody generates pixels that could be shown",
            seen=", ".join(adapter.card.name for adapter in adapters),
            accepted="one adapter or more that generates",
            fix=f"{_PROGRAM} OUT --adapter dit",
        )
    files = {"README.md": ""}
    for trial in trials:
        seen = _seen(data, able, trial, setting)
        files[f"reprojection-{slug(trial.id)}.svg"] = reprojection_figure(seen)
    silent = [adapter.card.name for adapter in adapters if adapter not in able]
    files["README.md"] = _page(list(files)[1:], silent, data, command)
    for name, content in files.items():
        write_atomic(out / name, content.encode())
    return [out / name for name in files]


def _seen(
    data: QuadSource, adapters: Sequence[Adapter], trial: Trial, setting: Setting
) -> SeenView:
    cuts = [view_cut(adapter.card, data.frames) for adapter in adapters]
    cut = next((each for each in cuts if each is not None), None)
    if cut is None or any(each != cut for each in cuts):
        raise UsageError(
            "these adapters cut views at different frames",
            seen=", ".join(f"{a.card.name}: {c}" for a, c in zip(adapters, cuts, strict=True)),
            accepted="adapters whose contexts agree",
            fix="show them one by one",
        )
    (video,) = clip_batches(data, [list(trial.clips)], device=setting.device)
    video = video[0, : cut.end]
    view = View(data.track(trial.clips[0]), (video.shape[2], video.shape[3]), setting.device)
    context, futures = video[: cut.context], {_REAL: video[cut.context :]}
    for adapter in adapters:
        rolled = Asking(setting).rollouts(adapter, context[None], cut.horizon, [trial.id])
        futures[adapter.card.name] = rolled[0, 0].to(torch.float32)
    return SeenView(trial.id, view, video, futures, cut)


def _page(figures: Sequence[str], silent: Sequence[str], data: QuadSource, command: str) -> str:
    shown = "\n\n".join(f"![{escape(name)}]({name})" for name in figures)
    unable = (
        f"\nNot shown, since latents have no pixels: {escape(', '.join(silent))}.\n"
        if silent
        else ""
    )
    return f"""# One rigid place?

What a rollout shows of the place, held against what the context saw of it: the suite
`consistency3d`, on {escape(data.info.name)} ({data.info.digest[:12]}). The first row is what the
real future shows: its losses are those of sampling alone. One view is an example, not a score.
{unable}
{shown}

Made by `{command}`.
"""


if __name__ == "__main__":
    sys.exit(main())
