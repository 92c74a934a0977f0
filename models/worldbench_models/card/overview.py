"""The reference models side by side: ``python -m worldbench_models.card.overview``.

Writes ``cards/README.md`` from the runs kept in ``cards``, without weights; the same runs give the
same bytes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from worldbench.errors import WorldbenchError
from worldbench.record import write_atomic
from worldbench_models.card.__main__ import CARDS
from worldbench_models.card.columns import read_columns
from worldbench_models.card.compare import comparison

SCHOOLS = ("dit-s/run", "jepa-s/run")
"""The two that ship."""

ARMS = ("seeds/jepa-xs-0", "arms/jepa-sigreg-xs-0")
"""What keeps latents from collapsing: an averaged teacher, or SIGReg."""

SEEDS = tuple(tuple(f"seeds/{model}-xs-{seed}" for seed in range(3)) for model in ("dit", "jepa"))
"""Of each school, a small model thrice."""

_HEAD = (
    "Written by `python -m worldbench_models.card.overview` from the runs that lie here: "
    "`dit-s/run`, `jepa-s/run`, `seeds` and `arms`, each with what training and the gates left of "
    "it, weights aside. Training FLOPs are counted, not timed; gates are explained on the cards "
    "([dit-s](dit-s/README.md), [jepa-s](jepa-s/README.md)). Clips that an earlier run had "
    "rendered into its `clips_folder` take seconds, others minutes."
)
_SCHOOLS = (
    "Trained on the same clips. Parameters and training FLOPs are to differ by 10 % at most. A "
    "school has gates of its own: the DiT foresees frames, the JEPA latents."
)
_ARMS = (
    "Both are trained on the same clips, with the same seed and matched training FLOPs. With "
    "SIGReg targets have a gradient, which makes a step dearer, so there are fewer. Held-out "
    "numbers are the last of training; skill is 1 − L1 over a baseline's, in a model's own "
    "latents. A skill below 0 against a copy says that the last latents, repeated, foresee better. "
    "RankMe is the effective number of directions in which clips differ: latents may fill space "
    "and still not tell where an object is and where it goes, which the probe reads off, nor "
    "whether it is still behind its occluder, which presence asks."
)
_SEEDS = (
    "The same training with another seed, for initial weights, order of clips, noise and masks; "
    "the clips are the same. Standard deviations are those of the sample (n − 1)."
)


def overview(cards: Path = CARDS) -> str:
    """Writes the comparison of the reference models.

    Args:
        cards: Where the runs lie.

    Returns:
        Markdown.

    Raises:
        DataError: If a run is missing or broken.
    """
    parts = ["# The reference models side by side", _HEAD]
    parts += ["## Two schools", _SCHOOLS, comparison(_at(cards, SCHOOLS), heldout=False)]
    parts += ["## Against collapse: an averaged teacher or SIGReg", _ARMS]
    parts += [comparison(_at(cards, ARMS)), "## Between seeds", _SEEDS]
    for shipped, seeds in zip(SCHOOLS, SEEDS, strict=True):
        parts += [*_recipe(cards, seeds[0], shipped), comparison(_at(cards, seeds))]
    return "\n\n".join(parts) + "\n"


def _recipe(cards: Path, name: str, shipped: str) -> list[str]:
    """Says by which options a run was trained otherwise than the one that ships, if by any."""
    theirs, ours = (run.settings for run in read_columns(_at(cards, (name, shipped))))
    other = [
        f"`{option}` {theirs[option]}, now {value}"
        if option in theirs
        else f"no option `{option}` yet, now {value}"
        for option, value in ours.items()
        if option.startswith("model.") and theirs.get(option) != value
    ]
    if not other:
        return []
    return [f"**By another recipe** than {Path(shipped).parts[0]}: {'; '.join(other)}."]


def _at(cards: Path, names: Sequence[str]) -> list[Path]:
    return [cards / name for name in names]


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes ``README.md`` beside the runs.

    Returns:
        0, or an error's exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m worldbench_models.card.overview",
        description="The reference models side by side, from their runs.",
    )
    parser.add_argument("--cards", type=Path, default=CARDS, help="where the runs lie")
    cards = parser.parse_args(arguments).cards
    try:
        write_atomic(cards / "README.md", overview(cards).encode())
    except WorldbenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(cards / "README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
