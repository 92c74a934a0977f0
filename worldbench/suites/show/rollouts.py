"""``python -m worldbench.suites.show.rollouts OUT --adapter dit``: clips for the pages of models.

Into a folder per checkpoint go short H.264 clips of its rollouts, with stills, and a picture of its
surprises; ``media.json`` says in words what each shows. The board's site embeds what lies there.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldbench.adapter import Adapter, Generates
from worldbench.batches import clip_batches, to_pixels
from worldbench.compose import instantiate
from worldbench.data.video import encode
from worldbench.errors import UsageError
from worldbench.leaderboard.site.addresses import checkpoint
from worldbench.leaderboard.site.material import MANIFEST
from worldbench.options import at_least, choose_device
from worldbench.record import write_atomic
from worldbench.schema import Trial
from worldbench.suite import Setting
from worldbench.suites.permanence import Permanence
from worldbench.suites.permanence_states import states_of
from worldbench.suites.quad_scores import outcomes
from worldbench.suites.quad_trials import Cut, QuadSource, cut_of, quad_clips, quad_source
from worldbench.suites.show.__main__ import configurations, parser_of, require_writable, run
from worldbench.suites.show.asked import Answer, AskedQuad, Surprise, chosen
from worldbench.suites.show.page import slug
from worldbench.suites.show.rollouts_clip import poster, side_by_side
from worldbench.suites.show.surprise_figure import surprise_figure
from worldbench.suites.show.words import scene
from worldbench.suites.surprise import Asking, operators_of

_PROGRAM = "python -m worldbench.suites.show.rollouts"
_CRF = 26


def main(arguments: Sequence[str] | None = None) -> int:
    """Rolls a few contexts out and writes clips of it.

    Returns:
        0, or an error's exit code.
    """
    parser = parser_of(
        _PROGRAM, "Clips of rollouts for the site: context, truth, samples.", "permanence_quick"
    )
    parser.add_argument("--quad", action="append", default=[], metavar="ID", help="which quads")
    parser.add_argument("--samples", type=int, default=2, help="futures per context")
    return run(parser, _show, arguments)


def _show(asked: argparse.Namespace, command: str) -> list[Path]:
    configs = configurations(asked.adapter, asked.data, asked.config_dir, program=_PROGRAM)
    setting = Setting(choose_device(asked.device), seed=at_least("--seed", asked.seed, 0))
    data, suite = instantiate("data", configs[0].data), instantiate("suite", configs[0].suite)
    source = quad_source(data, suite.name)
    trials = chosen(suite.trials(source), asked.quad)
    samples = at_least("--samples", asked.samples, 1)
    adapters = [instantiate("adapter", config.adapter) for config in configs]
    require_writable(asked.out)
    written = []
    for adapter in adapters:
        written += write(asked.out, suite, source, adapter, trials, setting, samples)
    return written


def write(
    out: Path,
    suite: Permanence,
    data: QuadSource,
    adapter: Adapter,
    trials: Sequence[Trial],
    setting: Setting,
    samples: int = 2,
) -> list[Path]:
    """Asks one adapter and writes its folder; the same answers give the same bytes.

    Args:
        out: The folder of all media, ``site/media`` below a board's.
        suite: The suite with its options.
        data: A source of quads.
        adapter: Who is asked.
        trials: About which quads; the first is also drawn with its surprises.
        setting: Device and seed.
        samples: Futures shown per context; surprise is measured with the suite's own number.

    Returns:
        The files, ``media.json`` first.

    Raises:
        UsageError: If the adapter can be asked about none of the quads.
        WorldbenchError: If it breaks the contract or a file cannot be written.
    """
    folder = out / checkpoint(adapter.card.name, adapter.card.revision)
    require_writable(folder)
    told: dict[str, list[dict[str, Any]]] = {"clips": [], "pictures": []}
    files = []
    for trial in trials:
        quad = _quad(suite, data, adapter, trial, setting, samples)
        if quad is None:
            continue
        name = slug(trial.id)
        if quad.rolled is not None:
            told["clips"].append(_clip(folder, name, quad, data.info.name))
            files += [folder / f"{name}.mp4", folder / f"{name}.jpg"]
        if not told["pictures"]:
            told["pictures"].append(_picture(quad, name, data.info.name))
            files.append(folder / f"surprise-{name}.svg")
            write_atomic(files[-1], surprise_figure(quad.asked).encode())
    if not files:
        raise UsageError(
            f"{adapter.card.name} can be asked about none of these quads",
            seen=", ".join(trial.id for trial in trials),
            accepted="an adapter with a legal context while the object is hidden",
            fix=f"{_PROGRAM} OUT --adapter dit",
        )
    listed = json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write_atomic(folder / MANIFEST, listed.encode())
    return [folder / MANIFEST, *files]


@dataclass(frozen=True)
class _Quad:
    """A quad, where it is cut, what surprised, and the futures of A's context if it generates."""

    trial: Trial
    cut: Cut
    asked: AskedQuad
    rolled: np.ndarray | None
    fps: float

    @property
    def answer(self) -> Answer:
        return self.asked.answers[0]


def _quad(
    suite: Permanence,
    data: QuadSource,
    adapter: Adapter,
    trial: Trial,
    setting: Setting,
    samples: int,
) -> _Quad | None:
    """Asks about one quad; None where the adapter cannot be asked about it."""
    card, asking = adapter.card, Asking(setting, suite.samples)
    cut = cut_of(card, trial, data.frames)
    if suite.unsupported(card) is not None or cut is None:
        return None
    (pair,) = clip_batches(data, [trial.clips], device=setting.device)
    operator, clips = operators_of(card)[0], quad_clips(pair[:, : cut.end], cut).contiguous()
    values = asking.surprise(adapter, operator, clips, cut.context, [trial.id] * 4)
    surprise = Surprise(operator, values, outcomes(values)["outcome"])
    answer = Answer(card.name, card, cut, surprise=surprise)
    tracks = [data.track(clip) for clip in trial.clips]
    known = all(track.slots_of("occluder") for track in tracks)
    truth = tuple(states_of(track, Cut(0, data.frames)) for track in tracks) if known else ()
    pixels = np.stack([to_pixels(clip) for clip in pair])
    rolled = None
    if isinstance(adapter, Generates):
        found = Asking(setting, samples).rollouts(
            adapter, clips[:1, : cut.context], cut.horizon, [trial.id]
        )
        rolled = np.stack([to_pixels(each.to(torch.float32)) for each in found[0]])
    quad = AskedQuad(trial, pixels, truth, False, (answer,))
    return _Quad(trial, cut, quad, rolled, float(data.fps))


def _clip(folder: Path, name: str, quad: _Quad, data: str) -> dict[str, Any]:
    """Writes one clip with its still, and returns what the list says of it."""
    cut, video, rolled = quad.cut, quad.asked.pair[0], quad.rolled
    assert rolled is not None  # only generators have clips
    drawn = side_by_side(video[: cut.context], video[cut.context : cut.end], rolled)
    encode(folder / f"{name}.mp4", drawn, quad.fps, crf=_CRF, preset="veryslow")
    write_atomic(folder / f"{name}.jpg", poster(drawn[cut.context + cut.horizon // 2]))
    count = len(rolled)
    between = "and" if count == 2 else "to"
    samples = "sample 1" if count == 1 else f"samples 1 {between} {count}"
    alternative = (
        f"{1 + count + 1} panels of the same scene side by side, {cut.end} frames at "
        f"{quad.fps:g} per second. For {cut.context} frames all of them show the context, in which "
        "an object goes behind an occluder. Then the panel context stands still, the panel truth "
        f"shows {cut.horizon} frames in which it comes out again, and the panels {samples} show "
        f"what {quad.answer.label} foresaw for these frames. The scene: {scene(quad.trial)}."
    )
    return {
        "video": f"{name}.mp4",
        "poster": f"{name}.jpg",
        "title": f"{quad.trial.id}: context, truth, {samples}",
        "caption": f"{data} · {scene(quad.trial)} · the line under a panel turns blue where it is "
        "no longer context",
        "alternative": alternative,
        "width": drawn.shape[2],
        "height": drawn.shape[1],
    }


def _picture(quad: _Quad, name: str, data: str) -> dict[str, Any]:
    surprise = quad.answer.surprise
    assert surprise is not None  # whoever was asked has one
    a, p, i1, i2 = (float(np.mean(each)) for each in surprise.values)
    return {
        "file": f"surprise-{name}.svg",
        "title": f"{quad.trial.id}: surprise, step by step",
        "alternative": f"{data} · the four clips of a quad, and under their frames how little was "
        f"expected what came, by {surprise.operator}. Mean over time: A {a:.4g}, P {p:.4g} "
        f"(possible), I1 {i1:.4g}, I2 {i2:.4g} (impossible).",
    }


if __name__ == "__main__":
    sys.exit(main())
