"""``worldbench`` on a small data set of real files, as a function and as a process."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from worldbench import cli
from worldbench import record as records
from worldbench.schema import Record

HERE = Path(__file__).parent
FRAMES = 12
SUITE = ["suite.context=4", "suite.horizon=8", "suite.components=2", "num_workers=0", "device=cpu"]


@dataclass(frozen=True)
class Clips:
    """Sixteen test videos (a quarter of them .avi) of one clip each, and a training split."""

    root: Path
    train: Path

    @property
    def overrides(self) -> list[str]:
        return data_overrides(self.root, self.train)


def data_overrides(root: Path, train: Path) -> list[str]:
    return [
        *("data=folder", f"data.root={root}", f"data.train={{root: {train}}}"),
        *(f"data.frames={FRAMES}", "data.size=[64,64]"),
    ]


def write_avi(path: Path, video: np.ndarray) -> None:
    size = (video.shape[2], video.shape[1])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 15, size)
    for frame in video:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


@dataclass(frozen=True)
class Bench:
    """``worldbench`` on the small data set, with records in a folder of its own."""

    clips: Clips
    root: Path
    configs: Path

    @property
    def arguments(self) -> list[str]:
        return [*self.clips.overrides, *SUITE, f"records={self.root}"]

    def run(self, *overrides: str, config_dir: bool = False) -> int:
        """Runs one cell in this process; the last word on an option counts."""
        chosen = ["--config-dir", str(self.configs)] if config_dir else []
        return cli.main(["run", *chosen, *_last(self.arguments, overrides)])

    def start(self, *overrides: str) -> subprocess.Popen[str]:
        """Starts one cell in another process."""
        words = ["run", "--config-dir", str(self.configs), *_last(self.arguments, overrides)]
        return subprocess.Popen(
            [sys.executable, "-m", "worldbench.cli", *words],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(HERE)},
        )

    def run_apart(self, *overrides: str) -> tuple[int, str]:
        """Runs one cell in another process; returns its exit code and what it said.

        For data that cannot be used: until Python 3.12 the type checks of these tests look at every
        property of a protocol, and run into the error earlier than a user would.
        """
        process = self.start(*overrides)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def at(self, root: Path) -> "Bench":
        return Bench(self.clips, root, self.configs)

    @property
    def files(self) -> list[Path]:
        return sorted(self.root.glob("*/*/*/*.json"))

    @property
    def record(self) -> Record:
        (path,) = self.files
        return records.read(path)

    def configure(self, name: str, target: str, group: str = "adapter", **options: object) -> str:
        """Writes a configuration for an adapter of ``odd_adapters`` and returns its name."""
        path = self.configs / group / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True, parents=True)
        header = {"name": name, "summary": f"{target} of the tests"}
        if group == "adapter":
            header["family"] = "baseline"
        path.write_text(yaml.safe_dump({**header, "_target_": f"odd_adapters.{target}", **options}))
        return name


def _last(first: list[str], then: tuple[str, ...]) -> list[str]:
    given = {word.partition("=")[0] for word in then}
    return [word for word in first if word.partition("=")[0] not in given] + list(then)
