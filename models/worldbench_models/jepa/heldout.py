"""What is watched while a JEPA trains: its loss says little, as it rises when targets grow richer.

Collapse is the known failure (design §11): latents that vary little, or in few directions, are easy
to foresee. So held-out clips are asked how much latents vary, in how many directions, how much
better than constants and copies the future is foreseen, and what can be read off.
"""

import logging
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldbench_models.diagnostics import (
    BASELINES,
    constants,
    prediction_skill,
    rank_me,
    spread,
)
from worldbench_models.jepa.network import JEPA
from worldbench_models.motion import MotionClips, single_object_clips
from worldbench_models.patches import PATCH, patchify_bytes
from worldbench_models.ridge import ridge_r2
from worldbench_models.training.pool import HELDOUT

logger = logging.getLogger(__name__)

CONTEXTS = (4, 8, 12)
"""Frames after which the future is foreseen."""

LEAST_STD, LEAST_RANK, LEAST_SHARE = 0.1, 8.0, 0.25
"""Latents that vary less are as good as collapsed: their own scale is 1, an untrained network's
pooled latents have an effective rank of about 17 of 64 clips. Few clips cannot have a high rank:
it is low where it is below this share of the highest, clips − 1; an untrained network has a third
of it of 32 clips, half of 8."""

_FEWEST = 32  # held-out clips without which nothing is read off: as many have one moving object
_AT_ONCE = 64


class HeldOut:
    """Measures a network on clips that it never trains on."""

    def __init__(self) -> None:
        self._motion: MotionClips | None = None

    def measure(
        self, network: JEPA, clips: UInt8[Tensor, "n frames height width 3"]
    ) -> dict[str, Any]:
        """Measures, and warns where latents collapse.

        Returns:
            ``feature_std``: standard deviation of a channel over tokens of all clips; ``rank_me``:
            effective rank of latents pooled by clip; ``skill``: of predictions, by frames of
            context and baseline (left out where the baseline makes no error, or there is one clip
            only); ``ridge_r2``: R² of position and velocity of an object, read off latents pooled
            by latent step (left out where there are fewer than 32 clips).
        """
        parts = [latents_of(network, part) for part in torch.split(clips, _AT_ONCE)]
        latents = torch.cat(parts)
        some = latents.flatten(0, 3)[::7]
        found: dict[str, Any] = {
            "feature_std": spread(some),
            "rank_me": rank_me(latents.mean(dim=(1, 2, 3))),
            "skill": {str(c): skill(network, clips, c) for c in CONTEXTS if len(clips) > 1},
        }
        if len(clips) >= _FEWEST:
            found["ridge_r2"] = self._read_off(network, len(clips), clips.device)
        for warning in warnings_of(found, len(clips)):
            logger.warning(warning)
        return found

    def _read_off(self, network: JEPA, count: int, device: torch.device) -> dict[str, float]:
        if self._motion is None:
            self._motion = single_object_clips(count, device=device, seed=HELDOUT.seed)
        motion = self._motion
        pooled = torch.cat(
            [
                latents_of(network, part).mean(dim=(2, 3))
                for part in torch.split(motion.rgb, _AT_ONCE)
            ]
        )
        steps = pooled.shape[1]
        found = {}
        for name, truth in (("position", motion.position), ("velocity", motion.velocity)):
            x, y = pooled.flatten(0, 1), truth.to(device).flatten(0, 1)
            cut = 3 * count // 4 * steps
            r2 = ridge_r2(x[:cut], y[:cut], x[cut:], y[cut:], group=steps).r2
            found[name] = sum(r2) / len(r2)
        return found


def latents_of(
    network: JEPA, clips: UInt8[Tensor, "n frames height width 3"]
) -> Float[Tensor, "n t h w d"]:
    """Encodes stored clips, in bf16 on a GPU."""
    with torch.autocast(clips.device.type, torch.bfloat16, enabled=clips.is_cuda):
        return network.encode(patchify_bytes(clips))


def skill(
    network: JEPA, clips: UInt8[Tensor, "n frames height width 3"], context: int
) -> dict[str, float]:
    """Returns the skill of predictions after a context, against each baseline that makes errors.

    The constant baselines are fitted on the first half of the clips, the second half is scored.
    """
    steps = context // PATCH[0]
    fitted, scored = clips[: len(clips) // 2], clips[len(clips) // 2 :]

    def encoded(part: UInt8[Tensor, "n frames height width 3"]) -> Float[Tensor, "n t h w d"]:
        return torch.cat([latents_of(network, few) for few in torch.split(part, _AT_ONCE)])

    known = constants(encoded(fitted[:, context:]))
    came, seen = encoded(scored[:, context:]), encoded(scored[:, :context])
    still = encoded(scored[:, context - 1 : context].expand_as(scored[:, context:]))
    with torch.autocast(clips.device.type, torch.bfloat16, enabled=clips.is_cuda):
        foreseen = [network.predict(p, came.shape[1]) for p in torch.split(seen, _AT_ONCE)]
    measured = prediction_skill(torch.cat(foreseen), came, seen[:, steps - 1], still, known)
    wrong = [name for name in BASELINES if float(getattr(measured, name).sum()) > 0]
    return {name: measured.against(name) for name in wrong}


def warnings_of(found: dict[str, Any], clips: int) -> list[str]:
    """Says in what ways latents of so many clips look collapsed."""
    said = []
    least_rank = min(LEAST_RANK, LEAST_SHARE * (clips - 1))
    if found["feature_std"] < LEAST_STD:
        said.append(f"feature std {found['feature_std']:.3f} is below {LEAST_STD}")
    if found["rank_me"] < least_rank:
        said.append(f"RankMe {found['rank_me']:.1f} of {clips} clips is below {least_rank:g}")
    for context, by in found["skill"].items():
        exact = [name for name in BASELINES if name not in by]
        if exact:
            said.append(f"after {context} frames latents do not differ from {', '.join(exact)}")
        elif min(by["median"], by["copy"]) < 0:
            said.append(f"after {context} frames predictions are worse than a constant or a copy")
        elif by["still"] < 0:
            said.append(
                f"after {context} frames the latents of a still of the last one are nearer to "
                "what came than predictions: latents hardly tell what moves"
            )
    return [f"COLLAPSE? {each}: see 'collapse' in `worldbench show jepa`" for each in said]
