"""V-JEPA 1 and 2 from the checkpoints that their training wrote."""

from functools import cached_property
from pathlib import Path

from worldbench.adapters.vjepa1_checkpoint import published
from worldbench.adapters.vjepa1_network import AdditiveNetwork
from worldbench.adapters.vjepa2 import VJEPA2
from worldbench.adapters.vjepa2_frames import require_lengths
from worldbench.adapters.vjepa2_source import Facts, read_facts
from worldbench.adapters.vjepa_checkpoint import converted
from worldbench.adapters.vjepa_network import Network
from worldbench.adapters.vjepa_untold import Untold
from worldbench.errors import UsageError
from worldbench.options import at_least, yes_or_no
from worldbench.saved_models import SavedModel, require_saved
from worldbench.schema import AdapterCard

_FPS = 4.0  # of V-JEPA 2; V-JEPA 1 took each fourth frame of videos of any rate


class VJEPA(VJEPA2):
    """A V-JEPA from a ``.pt`` file of facebookresearch; it answers as :class:`VJEPA2`.

    The file is rewritten once into the cache, when the card is first read. Which of the two it is,
    the file tells: V-JEPA 1 adds sinusoids to its tokens, and holds few mask tokens. V-JEPA 2.1 and
    2-AC, other networks, are refused.

    A V-JEPA 1 has places for the clips of its training alone, 16 frames. Of a context and future
    that are longer together it sees the end of the context: as much as fits before the future.

    Args:
        weights: The file.
        name: The name shown on the board.
        side: Height and width of its training clips; None is what a V-JEPA 1 tells, and 256 for a
            V-JEPA 2, which does not.
        training_frames: Their frames; None is what a V-JEPA 1 tells, and 64 for a V-JEPA 2.
        heads: Of the encoder's attention; None is that of its published width.
        predictor_heads: Of the predictor's attention; None is the encoder's in a V-JEPA 1, and 12.
        rotary: Says that it is a V-JEPA 2 where the file looks like a V-JEPA 1.
        framing: As of :class:`VJEPA2`, and so are the others.
        frames: The longest clip asked about at once; a V-JEPA 1 has no places beyond its training.
        mask_token: Index of the predictor's mask token.
        fps: Frames per second of its training clips; None is 4 for a V-JEPA 2 and unknown for a
            V-JEPA 1.

    Raises:
        UsageError: If an option is out of range, or there is no such file.
    """

    def __init__(
        self,
        weights: str,
        name: str = "vjepa",
        side: int | None = None,
        training_frames: int | None = None,
        heads: int | None = None,
        predictor_heads: int | None = None,
        rotary: bool = False,
        framing: str = "published",
        frames: int | None = None,
        mask_token: int | None = None,
        fps: float | None = None,
    ) -> None:
        self._file = Path(str(weights)).expanduser()
        self._untold = Untold(
            side=_number("side", side),
            frames=_number("training_frames", training_frames),
            heads=_number("heads", heads),
            predictor_heads=_number("predictor_heads", predictor_heads),
            rotary=yes_or_no("adapter.rotary", rotary),
        )
        if not self._file.is_file():
            raise UsageError(
                "there is no such checkpoint",
                seen=self._file,
                accepted="a .pt or .pth.tar file of facebookresearch/jepa or vjepa2",
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
    def _saved(self) -> SavedModel:
        return SavedModel(converted(self._file, self._untold), "vjepa")

    @property
    def _additive(self) -> bool:
        return bool(self._saved.config["model_type"] == "vjepa")

    @cached_property
    def _facts(self) -> Facts:
        kind = "vjepa" if self._additive else "vjepa2"
        return read_facts(require_saved(kind, self._saved.path, fix="delete it and run again"))

    @cached_property
    def _network(self) -> Network:
        if self._additive:
            return AdditiveNetwork(self._facts, self._mask_token)
        return super()._network

    @cached_property
    def _longest(self) -> int:
        longest = self._facts.longest(self._frames)
        if self._additive and longest > self._facts.frames:
            raise UsageError(
                "a V-JEPA 1 knows no places beyond the clips of its training",
                seen=f"adapter.frames={longest}",
                accepted=f"at most {self._facts.frames}",
                fix=f"adapter.frames={self._facts.frames}, or null",
            )
        return longest

    @cached_property
    def card(self) -> AdapterCard:
        """Who it is and which clips it takes; reading it rewrites the file the first time.

        Raises:
            DataError: If the file does not read or is no such checkpoint.
        """
        card = super().card
        if not self._additive:
            return card.model_copy(update={"fps": self._fps or _FPS})
        size = published(self._saved.config)
        return card.model_copy(
            update={
                "summary": f"V-JEPA 1, {size}, {card.summary.removeprefix('V-JEPA 2, ')}"
                if size
                else card.summary.replace("V-JEPA 2", "V-JEPA 1"),
                "licence": "CC BY-NC 4.0, if it is the published one" if size else None,
                "source": "a checkpoint of facebookresearch/jepa",
            }
        )

    @property
    def _source(self) -> str:
        return "a checkpoint of facebookresearch/vjepa2"

    def _left_out(self, context: int, horizon: int) -> int:
        if not self._additive:
            return super()._left_out(context, horizon)
        stride, legal = self._facts.stride, self.card.legal_context(context)
        future = -(-horizon // stride) * stride
        kept = max(min(context, self._longest - future), stride) if legal else context
        require_lengths(self.card, kept, horizon, longer=False)
        return context - kept

    def _look(self) -> None:
        """Leaves the file alone: rewriting it is for the first question."""


def _number(option: str, value: int | None) -> int | None:
    return None if value is None else at_least(f"adapter.{option}", value, 1)
