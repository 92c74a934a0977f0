"""What a family of scenes is: documented factors, and a stage that sets a scene up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from worldbench.data.worlds.palette import COLOURS, OOD_COLOURS
from worldbench.data.worlds.scene import Scene
from worldbench.data.worlds.spec import VERSION, SceneSpec
from worldbench.errors import UsageError, unknown_name
from worldbench.schema import Scalar, digest


@dataclass(frozen=True)
class Factor:
    """Something that scenes of a family vary in.

    Attributes:
        levels: What it can be.
        meaning: One line for the documentation.
        default: The level of specs that don't fix it; drawn from the levels if None.
    """

    levels: tuple[Scalar, ...]
    meaning: str
    default: Scalar | None = None


@dataclass(frozen=True)
class Family:
    """A kind of scene.

    Attributes:
        name: As ``SceneSpec.family`` has it.
        summary: What happens, in one line.
        factors: What varies.
        stage: Sets the scene up.
        stream: Families of one stream draw the same scenes from the same seed, up to what their
            factors say; by default the family's name.
    """

    name: str
    summary: str
    factors: Mapping[str, Factor]
    stage: Callable[["Draw"], Scene]
    stream: str = ""

    def draw(self, spec: SceneSpec) -> "Draw":
        """Fixes every factor of a spec.

        Raises:
            UsageError: For a factor or level that the family does not have.
        """
        for name, level in spec.factors:
            if name not in self.factors:
                raise unknown_name(
                    f"factor of {self.name}", name, self.factors, fix="worldbench data list"
                )
            if level not in self.levels(name, spec.split):
                raise UsageError(
                    f"{self.name} has no such level of {name}",
                    seen=level,
                    accepted=", ".join(map(str, self.levels(name, spec.split))),
                    fix=f"SceneSpec(…, factors={{{name!r}: …}})",
                )
        draw = Draw(spec, self.stream or self.name)
        for name, factor in self.factors.items():
            level = spec.fixed.get(name, factor.default)
            if level is None:
                levels = self.levels(name, spec.split)
                level = levels[int(draw.rng(f"factor/{name}").integers(len(levels)))]
            draw.factors[name] = level
        return draw

    def levels(self, factor: str, split: str) -> tuple[Scalar, ...]:
        """Returns a factor's levels in a split: unseen colours replace the others in test_ood."""
        levels = self.factors[factor].levels
        return OOD_COLOURS if levels == COLOURS and split == "test_ood" else levels

    def specs(self, count: int, seed: int, **format: object) -> list[SceneSpec]:
        """Returns specs whose factor levels are balanced: each level as often as any other (±1).

        Args:
            count: How many.
            seed: The first spec's; the others count on from it.
            **format: Other fields of :class:`SceneSpec`; factors given here are fixed, the
                family's defaults stay, the rest is balanced.
        """
        first = SceneSpec(self.name, seed, **format)  # type: ignore[arg-type]
        self.draw(first)
        if count < 1:
            return []
        rng = np.random.default_rng(int(digest(["balance", self.name, first.to_dict()])[:16], 16))
        columns: dict[str, list[Scalar]] = {}
        for name, factor in self.factors.items():
            if name in first.fixed or factor.default is not None:
                continue
            levels = self.levels(name, first.split)
            order = np.concatenate(
                [rng.permutation(len(levels)) for _ in range(-(-count // len(levels)))]
            )
            columns[name] = [levels[int(i)] for i in order[:count]]
        return [
            SceneSpec(
                self.name,
                seed + index,
                first.split,
                first.frames,
                first.fps,
                first.size,
                {**first.fixed, **{name: column[index] for name, column in columns.items()}},
            )
            for index in range(count)
        ]


@dataclass
class Draw:
    """Where a stage gets its random numbers: one stream per name.

    Streams are independent of each other and of the factors: a scene with another colour or one
    distractor less is the same in everything else.

    Attributes:
        spec: What is being staged.
        stream: Name of the family's streams.
        factors: Level of every factor.
    """

    spec: SceneSpec
    stream: str
    factors: dict[str, Scalar] = field(default_factory=dict)

    def rng(self, name: str) -> np.random.Generator:
        """Returns the generator of a named stream, at its beginning."""
        key = ["worlds", VERSION, self.stream, self.spec.split, self.spec.seed, name]
        return np.random.default_rng(int(digest(key)[:32], 16))

    def uniform(self, name: str, low: float, high: float) -> float:
        """Draws a number from a stream of its own."""
        return float(self.rng(name).uniform(low, high))

    def sign(self, name: str) -> float:
        """Draws −1 or 1 from a stream of its own."""
        return float(self.rng(name).choice([-1.0, 1.0]))

    @cached_property
    def ood(self) -> bool:
        """Whether attributes must be unlike those of the other splits."""
        return self.spec.split == "test_ood"

    @property
    def haste(self) -> float:
        """What speeds are multiplied with: test_ood's are beyond those of the other splits."""
        return 1.45 if self.ood else 1.0

    def text(self, factor: str) -> str:
        """Returns a factor's level that is a word."""
        return str(self.factors[factor])

    def number(self, factor: str) -> int:
        """Returns a factor's level that is a whole number."""
        return int(self.factors[factor])
