"""Presence quads of the easy tier, ``calibration`` split, each with its control in plain sight."""

from dataclasses import dataclass, replace

from worldbench.data.worlds.content import Tell
from worldbench.data.worlds.fairness import Unqualified
from worldbench.data.worlds.families import family
from worldbench.data.worlds.quads import Quad, make_quad, visible_control
from worldbench.data.worlds.simulation import in_parallel
from worldbench.data.worlds.spec import SceneSpec
from worldbench.errors import DataError

_REDRAWS = 200  # a scene that never makes a quad is a mistake, not bad luck
_SEEDS_APART = 1_000_000  # between redraws of one scene, so that no two scenes share a seed


@dataclass(frozen=True, eq=False)
class MatchedQuad:
    """A quad and the same quad with its occluder taken out.

    Attributes:
        name: Unique; noise and seeds follow from it.
        occluded: The quad.
        visible: Its control.
    """

    name: str
    occluded: Quad
    visible: Quad

    def condition(self, name: str) -> Quad:
        """Returns ``occluded`` or ``visible``."""
        return {"occluded": self.occluded, "visible": self.visible}[name]


def presence_quads(
    count: int, *, workers: int | None = None, seed: int = 0, tell: Tell | None = None
) -> list[MatchedQuad]:
    """Makes quads of a target that passes an occluder at a steady pace, or leaves in plain sight.

    Half of them show more of the target in A, half in P, as in the shipped sets; the other factors
    are balanced. About two scenes are drawn per quad, each with its two clips.

    Args:
        count: How many quads.
        workers: Processes; as many as there are cores if None.
        seed: Of the first scene.
        tell: Called with (quads made, quads in all).

    Raises:
        DataError: If a scene never makes a quad.
    """
    specs = family("occluder_pass").specs(
        count, seed, split="calibration", factors={"motion": "steady"}
    )
    made = []
    for quad in in_parallel(drawn_quad, list(enumerate(specs)), workers):
        made.append(quad)
        if tell is not None:
            tell(len(made), count)
    return made


def drawn_quad(job: tuple[int, SceneSpec]) -> MatchedQuad:
    """Redraws a scene until it makes a quad with a control; its factors stay, its seed does not.

    Args:
        job: Index of the quad (even ones show more in A, odd ones in P), and the scene's spec.

    Raises:
        DataError: If it never does.
    """
    index, spec = job
    for attempt in range(_REDRAWS):
        scene = replace(spec, seed=spec.seed + attempt * _SEEDS_APART)
        try:
            quad = make_quad(scene, "presence", shows_more="AP"[index % 2])
            return MatchedQuad(f"presence/{scene.seed}", quad, visible_control(quad))
        except Unqualified:
            continue
    raise DataError(
        "a scene makes no presence quad",
        seen=spec,
        accepted=f"one of {_REDRAWS} seeds that does",
        fix="another first seed",
    )
