"""The embedded data set: drawn and encoded on first use, then read like any other."""

from collections.abc import Sequence
from functools import cached_property

from worldbench.data.manifest import Video
from worldbench.data.moving_shapes import ShapesSpec, build
from worldbench.data.real import VideoData
from worldbench.progress import Progress


class MovingShapes(VideoData):
    """The embedded default: made in the cache on first use, read back like any Kinetics copy.

    Args:
        name: The name records and the board show.
        split: ``validate`` or ``train``.
        max_videos: Only so many videos; all if None.
    """

    def __init__(
        self,
        name: str = "moving_shapes",
        split: str = "validate",
        max_videos: int | None = None,
    ) -> None:
        self.spec = ShapesSpec()
        super().__init__(
            name if split == "validate" else f"{name}/{split}",
            "",
            "kinetics",
            annotations="",
            split=split,
            frames=self.spec.frames,
            fps=self.spec.fps,
            size=(self.spec.size, self.spec.size),
            max_videos=max_videos,
        )

    @cached_property
    def train(self) -> VideoData | None:
        """The training split, of which the embedded set always has one."""
        return MovingShapes(split="train") if self.split != "train" else None

    @property
    def digest(self) -> str:
        """Digest of the drawing's specification.

        Not of the files: another release of the encoder writes other bytes for the same picture.
        """
        return self.spec.digest

    def _listed(self) -> Sequence[Video]:
        videos = self.spec.train + self.spec.validate
        with Progress().task(f"making {self.name}", videos) as step:
            root = build(self.spec, step.to)
        self.root, self.annotations = str(root), str(root / "annotations.csv")
        return super()._listed()
