"""``worldbench distance REAL_DIR FAKE_DIR``: the options, and who gets the answer."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from worldbench.command import command_parser, log_plainly
from worldbench.errors import UsageError
from worldbench.metrics.presets import EXTRACTORS, PRESETS

if TYPE_CHECKING:
    from worldbench.distance.measure import Outcome
    from worldbench.distance.request import Request

logger = logging.getLogger(__name__)

_OWN = "effnetlite0-dt"
_DESCRIPTION = (
    "How far apart are two folders of videos? Fréchet and kernel distance with error, noise floor "
    "and card; one clip from the beginning of each video unless told otherwise."
)


def distance(arguments: Sequence[str]) -> int:
    """Measures and prints; the answer goes to stdout, progress and warnings to stderr.

    Args:
        arguments: Those of the command.

    Returns:
        The exit code.

    Raises:
        WorldbenchError: If options, folders or weights cannot be used.
    """
    given = _parser().parse_intermixed_args(list(arguments))
    log_plainly()
    _require_options(given)
    from worldbench.distance.measure import measure
    from worldbench.distance.report import as_json, as_text
    from worldbench.options import choose_device
    from worldbench.suite import Setting

    setting = Setting(
        device=choose_device(given.device),
        batch_size=given.batch_size,
        num_workers=given.num_workers,
    )
    outcome = measure(_request(given), setting)
    if given.curve is not None:
        _draw(outcome, given.curve)
    if given.json:
        print(as_json(outcome))
        for warning in outcome.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    else:
        print(as_text(outcome))
    return 0


def _request(given: argparse.Namespace) -> "Request":
    from worldbench.distance.folders import Cut
    from worldbench.distance.request import Request

    return Request(
        real=given.real,
        fake=given.fake,
        extractor=given.extractor,
        weights=given.weights,
        preset=given.preset,
        cut=Cut(
            frames=given.frames,
            stride=given.stride,
            fps=given.fps,
            every=given.every,
            clips_per_video=given.clips_per_video or None,
            size=given.size,
        ),
        components=given.components,
        paired=given.paired,
        by_class=given.by_class,
        curve=given.curve is not None,
        temporal=given.temporal,
        max_excluded=given.max_excluded,
        seed=given.seed,
    )


def _draw(outcome: "Outcome", path: Path) -> None:
    from worldbench.distance.plot import curve_svg
    from worldbench.record import write_atomic

    if len(outcome.curve) < 2:
        logger.warning("no curve: it takes 16 clips or more on each side")
        return
    found = outcome.distances.frechet
    limit = None if found is None else found.infinity
    title = f"frechet[{outcome.card.label}] by number of clips"
    write_atomic(path, curve_svg(outcome.curve, title, limit).encode())


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("distance", _DESCRIPTION)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(
        [
            "extractors:",
            *(f"  {name:<16} {text}" for name, text in EXTRACTORS.items()),
            "presets:",
            *(f"  {name:<16} {preset.summary}" for name, preset in PRESETS.items()),
        ]
    )
    add = parser.add_argument
    add("real", type=Path, metavar="REAL_DIR", help="folder of real videos, at any depth")
    add("fake", type=Path, metavar="FAKE_DIR", help="folder of generated videos")
    add("--extractor", help=f"what it is measured in; the preset's, or {_OWN}, if left out")
    add("--weights", metavar="PATH", help="weight file or folder of the extractor")
    add("--preset", help="a published way to measure; the extractor's usual one if left out")
    add("--frames", type=_positive, help="frames of a clip; the preset's, or 16, if left out")
    add("--stride", type=_positive, default=1, help="take every so-many-th frame")
    add("--fps", type=float, help="resample videos to this rate; as they are if left out")
    add("--every", type=_positive, help="slide: so many frames from one clip to the next")
    add("--clips-per-video", type=_count, default=1, help="spread evenly; 0 takes all; 1")
    add("--size", type=_size, metavar="S or HxW", help="bring all frames to this size first")
    add("--components", type=_positive, default=64, help=f"of {_OWN}'s projection; 64")
    add("--paired", action="store_true", help="videos of equal name come from one source")
    add("--by-class", action="store_true", help="also class by class: one top folder per class")
    add("--temporal", action="store_true", help="also warping error, flicker and motion")
    add("--curve", type=Path, metavar="FILE.svg", help="also at fewer clips, and draw it")
    add("--max-excluded", type=float, default=0.05, help="largest share of unusable videos; 0.05")
    add("--seed", type=_count, default=0, help="of random splits; 0")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    add("--batch-size", type=_positive, default=8, help="clips at once; 8")
    add("--num-workers", type=_count, default=2, help="threads that decode ahead; 2")
    add("--json", action="store_true", help="print everything as one JSON object")
    return parser


def _require_options(given: argparse.Namespace) -> None:
    if not 0 <= given.max_excluded <= 1:
        raise UsageError(
            "--max-excluded is no share", seen=given.max_excluded, accepted="0 to 1", fix="0.05"
        )
    if given.fps is not None and not 0 < given.fps < 1000:
        raise UsageError("--fps is no rate", seen=given.fps, accepted="above 0", fix="--fps 15")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    return _positive(height), _positive(width or height)
