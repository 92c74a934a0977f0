"""The rollouts that somebody must look at: made where the model runs, drawn later."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from worldbench.adapter import Adapter
from worldbench.batches import to_pixels, to_video
from worldbench.data.worlds.pictures.render import render_rgb
from worldbench.data.worlds.simulation import simulate
from worldbench.data.worlds.spec import SceneSpec
from worldbench.errors import DataError
from worldbench.record import write_atomic
from worldbench_models.gates.clips import CONTEXT, FRAMES, plainly_moving, still_camera
from worldbench_models.gates.forecast import rolled_out, seeds_of

SCENES = (
    ("passes an occluder", "occluder_pass", True),
    ("collides", "collide", True),
    ("falls", "drop", True),
    ("tumble", "tumble", True),
    ("bounces", "bounce", True),
    ("camera moves", "orbit_with_motion", False),
)
"""Title, scenario of ``train_random``, and whether the camera stands still."""

_FIRST_SEED, _TRIES = 900_000, 500


@dataclass(frozen=True, eq=False)
class Rollouts:
    """Clips with what a model made of their context.

    Attributes:
        titles: What happens in each clip.
        context: Frames that the model saw.
        truth: The clips.
        samples: The model's future frames.
    """

    titles: tuple[str, ...]
    context: int
    truth: UInt8[np.ndarray, "n t h w 3"]
    samples: UInt8[np.ndarray, "n s f h w 3"]

    def save(self, path: Path) -> None:
        """Writes an ``.npz`` file.

        Raises:
            EnvironmentFault: If it cannot be written.
        """
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            titles=np.array(self.titles),
            context=np.array(self.context),
            truth=self.truth,
            samples=self.samples,
        )
        write_atomic(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Rollouts":
        """Reads what :meth:`save` wrote.

        Raises:
            DataError: If the file cannot be read.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(
                    tuple(str(title) for title in stored["titles"]),
                    int(stored["context"]),
                    stored["truth"],
                    stored["samples"],
                )
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(
                f"cannot read rollouts {path}",
                seen=error,
                accepted="what the gates command stores",
                fix=f"python -m worldbench_models.gates {path.parent}",
            ) from error


def sheet_clips() -> UInt8[np.ndarray, "n t h w 3"]:
    """Renders one calibration clip of each of :data:`SCENES`, the same on every call."""
    return np.concatenate([_clip(scenario, still) for _, scenario, still in SCENES])


def _clip(scenario: str, still: bool) -> UInt8[np.ndarray, "1 t h w 3"]:
    for seed in range(_FIRST_SEED, _FIRST_SEED + _TRIES):
        fixed = {"scenario": scenario}
        track = simulate(SceneSpec("train_random", seed, "calibration", FRAMES, factors=fixed))
        if still_camera(track) == still:
            rgb = render_rgb([track])
            if bool(plainly_moving(rgb)[0]):
                found: np.ndarray = rgb.numpy()
                return found
    raise DataError(
        f"no clip of scenario {scenario!r} moves plainly",
        seen=f"{_TRIES} seeds",
        accepted="one that does",
    )


def roll_out(adapter: Adapter, *, samples: int = 3, device: str | torch.device = "cpu") -> Rollouts:
    """Rolls the sheet's clips out.

    Args:
        adapter: Has ``generate``.
        samples: Rollouts per clip.
        device: Where the model is asked.

    Raises:
        ContractError: If a rollout breaks the contract.
    """
    titles = tuple(title for title, _, _ in SCENES)
    truth = sheet_clips()
    video = to_video(torch.from_numpy(truth).to(device))
    horizon = truth.shape[1] - CONTEXT
    futures = rolled_out(adapter, video[:, :CONTEXT], horizon, samples, seeds_of(titles))
    shown = to_pixels(futures.flatten(0, 2)).reshape(*futures.shape[:3], *truth.shape[2:])
    return Rollouts(titles, CONTEXT, truth, shown)
