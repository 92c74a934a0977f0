"""The page beside the figures: what is seen, how to read it, who was asked and who could not be."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from worldbench.leaderboard.markdown import escape
from worldbench.schema import DataInfo
from worldbench.suites.futures import OWN
from worldbench.suites.show.asked import Answer, AskedQuad
from worldbench.suites.show.words import OUTCOMES, clip_words, scene, share, yes

_INTRODUCTION = """\
Does a model keep an object in mind while it cannot be seen? The suite asks about *quads*: A, in
which a target passes behind an occluder and comes out; its partner P, which is pixel-identical
while the target is hidden; and I1 and I2, the same two clips swapped in that stretch. Only what
came before tells which future is possible."""

_READING = """\
- **Surprise figure.** Four clips, frames from left to right. The green bar is the stretch in which
  A and P are identical; the dashed line is where clips are cut and, in I1 and I2, swapped. Below,
  per adapter, how little was expected what came, by its headline operator: one value per latent
  step, under the frames of that step. Blue and solid is possible, orange and dashed is impossible;
  filled marks share A's context, hollow ones P's. The quad counts 1 if I1 and I2 together surprise
  more than A and P together, ½ on a tie, else 0. All four share all noise.
- **Rollout figure.** What truly comes after A's and after P's context, and what each adapter
  expects. Pixels are shown as they are; warm tokens are what the suite's read-out sees of the
  target: a frozen linear map fitted on real futures of training scenes. It is right about the zone
  if more of the target is on the side of the exit (green) after A's context than after P's, less
  what is on the other side; a phantom is a target that comes out after P's. What the same read-out
  says of the real future is its ceiling: where that is wrong, the map says little of the adapter.
- One quad is an example, not a score: scores are means over all quads, on the leaderboard."""


@dataclass(frozen=True)
class Source:
    """Where a page comes from.

    Attributes:
        suite: Name and version of the suite.
        data: Identity of the data.
        command: What made the page, as one would type it.
    """

    suite: str
    data: DataInfo
    command: str


def slug(quad: str) -> str:
    """Returns a quad's id as part of a file's name: letters, digits, ``.``, ``_`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", quad).strip("._") or "quad"


def page(quads: Sequence[AskedQuad], source: Source) -> str:
    """Returns the page in Markdown; figures lie beside it, as :func:`slug` names them."""
    parts = [f"# Pictures of {escape(source.suite)}", _INTRODUCTION]
    for quad in quads:
        parts += _quad(quad)
    parts += ["## How to read the figures", _READING, "## Who was asked", *_adapters(quads)]
    told = (
        f"Data: {escape(source.data.name)}, {source.data.clips} clips of "
        f"{source.data.clusters} scenes, digest `{source.data.digest}`."
    )
    # A fence longer than any in the command: nothing in it can end the block.
    longest = max((len(ticks) for ticks in re.findall("`+", source.command)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n\n".join([*parts, "## Source", told, f"{fence}sh\n{source.command}\n{fence}"]) + "\n"


def _quad(quad: AskedQuad) -> list[str]:
    trial, name = quad.trial, slug(quad.trial.id)
    shows = "; ".join(f"{words.name}: {words.shows}" for words in clip_words(trial))
    parts = [f"## {escape(trial.id)}", f"{escape(scene(trial))}. {escape(shows)}."]
    parts += [
        f"![Frames of A, P, I1 and I2, and each adapter's surprise at them](surprise-{name}.svg)",
        _surprises(quad),
    ]
    if quad.read:
        shown = "What comes after A's and after P's context, in truth and as foreseen"
        parts += [f"![{shown}](rollout-{name}.svg)", _readings(quad)]
    else:
        parts.append("The suite reads no futures of such a quad.")
    return parts


def _surprises(quad: AskedQuad) -> str:
    rows = []
    for answer in quad.answers:
        if answer.surprise is None or answer.cut is None:
            rows.append([escape(answer.label), f"not asked: {escape(answer.reason)}", "–", "–"])
            continue
        mark, word = OUTCOMES[answer.surprise.outcome]
        operator, seen = escape(answer.surprise.operator), f"{answer.cut.context} frames"
        if quad.trial.factors["condition"] != "both_possible":
            mark = f"{mark} ({word})"
        rows.append([escape(answer.label), operator, seen, mark])
    return _table(["adapter", "surprise by", "context", "outcome"], rows)


def _readings(quad: AskedQuad) -> str:
    rows = []
    for answer in quad.answers:
        if answer.foresight is None:
            rows.append([escape(answer.label), f"not read: {escape(answer.unread)}", *"––––"])
            continue
        for reading in answer.foresight.readings:
            space = "its own latents" if reading["space"] == OWN else escape(reading["space"])
            rows.append(
                [
                    escape(answer.label),
                    space,
                    share(reading["model.zone"]),
                    yes(reading["model.emerged"]),
                    yes(reading["model.phantom"]),
                    share(reading["ceiling.zone"]),
                ]
            )
    heads = ["adapter", "read in", "zone", "comes out after A", "phantom after P"]
    return _table([*heads, "zone of the real future"], rows)


def _adapters(quads: Sequence[AskedQuad]) -> list[str]:
    first: Sequence[Answer] = quads[0].answers
    rows = [
        [
            escape(answer.label),
            f"`{escape(answer.card.revision[:12])}`",
            answer.card.family,
            escape(answer.card.summary) or "–",
        ]
        for answer in first
    ]
    return [_table(["adapter", "revision", "family", "what it is"], rows)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
