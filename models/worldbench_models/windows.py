"""Longer clips than a network was trained on, in windows that slide over them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """A stretch of a clip, in latent steps.

    Attributes:
        start: Its first latent step.
        prefix: How many latent steps are given.
        future: How many follow.
    """

    start: int
    prefix: int
    future: int

    @property
    def split(self) -> int:
        """The first latent step of the window's future."""
        return self.start + self.prefix


def windows(context: int, horizon: int, length: int) -> list[Window]:
    """Covers a horizon with windows of at most ``length`` latent steps.

    Each sees as much of the past as fits beside what is left of the horizon, but at least half a
    window of it where there is so much: further windows of a long horizon keep half.

    Args:
        context: Latent steps given.
        horizon: Latent steps to cover.
        length: Latent steps of a window; at least two.

    Raises:
        ValueError: If a window is shorter: it could not hold both a past and a future.
    """
    if length < 2:
        raise ValueError(f"a window needs at least 2 latent steps, got {length}")
    found, at = [], context
    while at < context + horizon:
        left = context + horizon - at
        prefix = min(at, max(length - left, length // 2))
        window = Window(at - prefix, prefix, min(left, length - prefix))
        found.append(window)
        at += window.future
    return found
