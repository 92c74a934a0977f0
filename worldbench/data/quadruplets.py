"""Matched movies: of one scene two that are possible, two that are not, and who belongs together.

The design of IntPhys (Riochet et al. 2018, arXiv 1803.07616): the impossible movies are made of the
frames of the possible ones, each beginning like one of them and ending like the other. Whoever
compares an impossible movie with the possible one that it begins like asks about physics alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worldbench.errors import DataError


@dataclass(frozen=True)
class Movie:
    """One movie of a quadruplet.

    Attributes:
        path: POSIX path relative to the data root: a video file, or a folder of frames.
        possible: Whether what happens in it can happen; None if no label says so.
        pair: What it shares with the movie it belongs to, where the listing says so; else empty.
    """

    path: str
    possible: bool | None
    pair: str = ""


@dataclass(frozen=True)
class Quadruplet:
    """What a reader lists of one scene.

    Attributes:
        id: Unique in the data set.
        cluster: The scene; several quadruplets may show one.
        factors: What distinguishes it, for breakdowns.
        movies: Its movies, in any order and number.
    """

    id: str
    cluster: str
    factors: Mapping[str, str]
    movies: tuple[Movie, ...]

    @property
    def fault(self) -> str | None:
        """Why these are not two possible and two impossible movies, or None if they are."""
        unknown = sum(movie.possible is None for movie in self.movies)
        if unknown:
            return f"no label says of {unknown} of {len(self.movies)} movies whether it is possible"
        possible = [movie for movie in self.movies if movie.possible]
        impossible = [movie for movie in self.movies if not movie.possible]
        if (len(possible), len(impossible)) != (2, 2):
            found = f"{len(possible)} possible and {len(impossible)} impossible movies"
            return f"{found} instead of 2 and 2"
        pairs = [sorted(movie.pair for movie in side) for side in (possible, impossible)]
        if pairs[0] != pairs[1] or (any(pairs[0]) and pairs[0][0] == pairs[0][1]):
            named = " and ".join(",".join(side) for side in pairs)
            return f"possible and impossible movies of different pairs: {named}"
        return None


@dataclass(frozen=True)
class Footage:
    """What the files of one movie hold.

    Attributes:
        frames: Frames that are used.
        fps: How many of them make a second.
        digest: Of its content, in hex.
        prints: A fingerprint of the pixels of every frame in the files, used or not; none where
            pairs are listed.
    """

    frames: int
    fps: float
    digest: str
    prints: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Matched:
    """A usable quadruplet.

    Attributes:
        id: Unique in the data set.
        cluster: The scene.
        factors: What distinguishes it, for breakdowns.
        movies: Paths of both possible movies, then of the impossible ones in the same order: the
            third belongs to the first, the fourth to the second.
        frames: Frames that are used and that all four have.
        exact: Whether it is known which belong together.
    """

    id: str
    cluster: str
    factors: Mapping[str, str]
    movies: tuple[str, str, str, str]
    frames: int
    exact: bool

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Places in ``movies`` of a possible movie and an impossible one, pair by pair.

        Where nothing tells which belong together there are all four combinations, so that no
        order of files decides.
        """
        return ((0, 2), (1, 3)) if self.exact else ((0, 2), (1, 3), (0, 3), (1, 2))


def shared_prefix(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """Returns how many frames two movies have in common from the first frame on."""
    differ = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differ, min(len(one), len(other)))


def match(quadruplet: Quadruplet, footage: Mapping[str, Footage]) -> Matched:
    """Finds out which impossible movie belongs to which possible one.

    Either the listing says so, or those belong together that begin alike: of the two ways to pair
    them, the one whose pairs share more frames from the first on, compared pixel by pixel.

    Args:
        quadruplet: One without a fault.
        footage: What its movies hold, by path.

    Raises:
        DataError: If the quadruplet has a fault.
    """
    if quadruplet.fault is not None:
        raise DataError(
            f"quadruplet {quadruplet.id} cannot be paired",
            seen=quadruplet.fault,
            accepted="two possible and two impossible movies",
            fix="fetch it again, or leave it out",
        )
    first, second = sorted(_side(quadruplet, True))
    third, fourth = sorted(_side(quadruplet, False))
    exact = first[0] != second[0]
    if not exact:
        prints = [footage[path].prints for _, path in (first, second, third, fourth)]
        straight = shared_prefix(prints[0], prints[2]) + shared_prefix(prints[1], prints[3])
        crossed = shared_prefix(prints[0], prints[3]) + shared_prefix(prints[1], prints[2])
        exact = straight != crossed
        if crossed > straight:
            third, fourth = fourth, third
    movies = (first[1], second[1], third[1], fourth[1])
    frames = min(footage[path].frames for path in movies)
    return Matched(quadruplet.id, quadruplet.cluster, quadruplet.factors, movies, frames, exact)


def _side(quadruplet: Quadruplet, possible: bool) -> list[tuple[str, str]]:
    return [(m.pair, m.path) for m in quadruplet.movies if m.possible is possible]
