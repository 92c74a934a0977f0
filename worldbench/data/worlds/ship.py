"""Writes the packed files that come with the package.

For maintainers, from a checkout: ``python -m worldbench.data.worlds.ship NAME [NAME …]`` simulates
each set afresh, renders it, samples its pixels and writes ``shipped/NAME.worlds``, or with
``--out`` into another folder. Needed after any change of a plan, of the physics or of the pictures.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from worldbench.data.worlds.storage import samples, store
from worldbench.data.worlds.storage.build import SUFFIX, plan_of, render_content, simulate
from worldbench.errors import UsageError, WorldbenchError
from worldbench.record import write_atomic

SHIPPED = Path(__file__).parent / "shipped"


def ship(name: str, folder: Path | None = None, workers: int | None = None) -> Path:
    """Makes one set from its plan and writes its packed file.

    Args:
        name: The set.
        folder: Where to; by default into the package.
        workers: Processes; by default one per core, at most 16.

    Returns:
        The file.

    Raises:
        UsageError: If there is no such set.
        EnvironmentFault: If a folder cannot be written.
    """
    plan = plan_of(name)
    content = simulate(plan, workers=workers)
    built = render_content(content, workers=workers)
    pixels = {at: built.pixels(clip.id) for at, clip in enumerate(content.clips)}
    taken = samples.sample(content, pixels)
    path = (folder or SHIPPED) / f"{name}{SUFFIX}"
    write_atomic(path, store.pack(content, plan=plan.digest, samples=taken))
    return path


def main(arguments: Sequence[str]) -> int:
    """Ships the sets named; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m worldbench.data.worlds.ship")
    parser.add_argument("names", nargs="*", metavar="NAME", help="sets to make")
    parser.add_argument("--out", type=Path, help="folder of the files (default: the package)")
    parser.add_argument("--workers", type=int, help="processes (default: one per core, at most 16)")
    asked = parser.parse_args(arguments)
    try:
        if not asked.names:
            raise UsageError(
                "no set named",
                accepted="names of sets",
                fix="python -m worldbench.data.worlds.ship NAME [NAME …]; worldbench data list",
            )
        for name in asked.names:
            path = ship(name, asked.out, asked.workers)
            packed = path.read_bytes()
            label = store.read_label(packed)
            each = len(packed) / max(label.clips, 1)
            print(f"{path}: {label.clips} clips, {len(packed)} bytes ({each:.0f} a clip)")
            print(f"  content {label.digest}")
            print(f"  plan    {label.plan}")
    except WorldbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
