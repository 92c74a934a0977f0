"""``python -m worldbench_models.gates runs/dit-s-0``."""

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from worldbench.adapter import Adapter
from worldbench.compose import compose, instantiate
from worldbench.data.worlds.content import Tell
from worldbench.errors import UsageError, WorldbenchError
from worldbench.options import choose_device
from worldbench_models.gates.gate import Gate
from worldbench_models.gates.measure import Settings
from worldbench_models.gates.report import measure_gates
from worldbench_models.gates.trained import read_trained
from worldbench_models.training.folder import GATES

logger = logging.getLogger("worldbench_models.gates")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures the gates of a run, writes ``gates.json`` and any rollouts, prints a list.

    Returns:
        0 however the gates stand (they are in the file), an error's exit code otherwise.
    """
    asked = _parser().parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings = Settings(
            clips=asked.clips,
            samples=asked.samples,
            pool=asked.pool,
            motion=asked.motion,
            quads=asked.quads,
            batch=asked.batch,
            device=str(choose_device(asked.device)),
            operator=asked.operator,
            workers=asked.workers,
        )
        run = read_trained(asked.run)
        adapter = _adapter(run.adapter(tuple(asked.overrides)), asked.config_dir)
        twin = None
        if asked.twin != "none":
            name, *options = shlex.split(asked.twin or run.twin)
            twin = _adapter([f"adapter={name}", *options], asked.config_dir)
        report = measure_gates(adapter, twin, run, settings, _tell)
    except WorldbenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for gate in report.gates:
        print(_line(gate))
    print(asked.run / GATES)
    return 0


def _line(gate: Gate) -> str:
    value = "" if gate.value is None else f" {gate.value:.3f} ({gate.direction} "
    value += "" if gate.value is None else f"{gate.threshold:.3g})"
    told = "; ".join(said for said in (gate.note, gate.reason) if said)
    return f"{gate.status:<12} {gate.name}:{value} {told}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worldbench_models.gates",
        description="What must hold before weights are committed, measured.",
    )
    parser.add_argument("run", type=Path, help="a run folder: its weights are measured")
    parser.add_argument(
        "overrides", nargs="*", help="options of its adapter, e.g. adapter.sampler_steps=10"
    )
    parser.add_argument(
        "--twin", help='"MODEL_random adapter.size=SIZE", those of the run by default; or none'
    )
    for name, told in (
        ("clips", "moving-object clips that a generator rolls out"),
        ("samples", "rollouts per clip"),
        ("pool", "clips of all sorts that a predictor encodes, half of them to foresee"),
        ("motion", "clips with one moving object, read off a predictor's latents"),
        ("quads", "presence quads"),
        ("batch", "clips or quads at once"),
    ):
        usual = getattr(Settings, name)
        parser.add_argument(f"--{name}", type=_positive, default=usual, help=f"{told}; {usual}")
    parser.add_argument("--operator", help="of surprise; the adapter's headline by default")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--workers", type=_positive, help="processes that simulate; all cores")
    parser.add_argument("--config-dir", help="a folder with adapter/*.yaml of your own")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _adapter(overrides: Sequence[str], config_dir: str | None) -> Adapter:
    config = compose(overrides, config_dir)
    adapter = instantiate("adapter", config.adapter)
    if not isinstance(adapter, Adapter):
        raise UsageError(
            "what was configured is no adapter", seen=type(adapter).__name__, accepted="a card"
        )
    return adapter


def _tell(part: str) -> Tell:
    """Tells of a part's progress in about ten lines."""
    told = [0]

    def tell(done: int, total: int) -> None:
        if done * 10 // total > told[0]:
            told[0] = done * 10 // total
            logger.info("%s: %d of %d", part, done, total)

    return tell


if __name__ == "__main__":
    sys.exit(main())
