"""V-JEPA 2 from the checkpoints that its training wrote."""

from functools import cached_property
from pathlib import Path

from worldbench.adapters.vjepa2 import VJEPA2
from worldbench.adapters.vjepa_checkpoint import Untold, converted
from worldbench.errors import UsageError
from worldbench.options import at_least, yes_or_no


class VJEPA(VJEPA2):
    """A V-JEPA 2 from a ``.pt`` file of facebookresearch/vjepa2; it answers as :class:`VJEPA2`.

    The file is rewritten once into the cache, when the card is first read. V-JEPA 1, whose
    positions are added to the tokens, and V-JEPA 2.1 and 2-AC, other networks, are refused.

    Args:
        weights: The file.
        name: The name shown on the board.
        side: Height and width of its training clips, which the file does not tell.
        training_frames: Their frames, which it does not tell either.
        heads: Of the encoder's attention; None is that of ViT-L, H or g, by width.
        predictor_heads: Of the predictor's attention.
        rotary: Says that it is a V-JEPA 2 where the file looks like a V-JEPA 1.
        framing: As of :class:`VJEPA2`, and so are the others.
        frames: The longest clip asked about at once.
        mask_token: Index of the predictor's mask token.
        fps: Frames per second of its training clips.

    Raises:
        UsageError: If an option is out of range, or there is no such file.
    """

    def __init__(
        self,
        weights: str,
        name: str = "vjepa",
        side: int = 256,
        training_frames: int = 64,
        heads: int | None = None,
        predictor_heads: int = 12,
        rotary: bool = False,
        framing: str = "published",
        frames: int | None = None,
        mask_token: int | None = None,
        fps: float | None = 4.0,
    ) -> None:
        self._file = Path(str(weights)).expanduser()
        self._untold = Untold(
            side=at_least("adapter.side", side, 1),
            frames=at_least("adapter.training_frames", training_frames, 1),
            heads=None if heads is None else at_least("adapter.heads", heads, 1),
            predictor_heads=at_least("adapter.predictor_heads", predictor_heads, 1),
            rotary=yes_or_no("adapter.rotary", rotary),
        )
        if not self._file.is_file():
            raise UsageError(
                "there is no such checkpoint",
                seen=self._file,
                accepted="a .pt file of facebookresearch/vjepa2",
                fix="correct adapter.weights; a folder of transformers is for adapter=vjepa2",
            )
        super().__init__(
            str(weights),
            name,
            framing=framing,
            frames=frames,
            mask_token=mask_token,
            fps=fps,
        )

    @cached_property
    def _folder(self) -> Path:
        return converted(self._file, self._untold)

    @property
    def _source(self) -> str:
        return "a checkpoint of facebookresearch/vjepa2"

    def _look(self) -> None:
        """Leaves the file alone: rewriting it is for the first question."""
