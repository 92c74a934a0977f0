"""How many frames a network takes."""

from dataclasses import dataclass

from worldbench.errors import UsageError


@dataclass(frozen=True, slots=True)
class FrameRule:
    """Numbers of frames that an extractor accepts.

    Attributes:
        least: The fewest.
        most: The most; ``None`` without a limit.
        multiple: What the number must be a multiple of.
    """

    least: int = 1
    most: int | None = None
    multiple: int = 1

    @property
    def words(self) -> str:
        """The rule in words."""
        if self.most == self.least:
            return f"exactly {self.least} frames"
        limit = " frames or more" if self.most is None else f" to {self.most} frames"
        whole = f", a multiple of {self.multiple}" if self.multiple > 1 else ""
        return f"{self.least}{limit}{whole}"

    def check(self, name: str, frames: int) -> None:
        """Refuses a number of frames.

        Raises:
            UsageError: If the extractor does not take so many.
        """
        fits = self.least <= frames and (self.most is None or frames <= self.most)
        if fits and frames % self.multiple == 0:
            return
        raise UsageError(
            f"{name} does not take clips of this length",
            seen=f"{frames} frames",
            accepted=self.words,
            fix="choose other frames (worldbench distance --frames; suite.horizon, suite.window)",
        )
