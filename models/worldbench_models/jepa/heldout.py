"""What is watched while a JEPA trains: its loss says little, as it rises when targets grow richer.

Collapse is the known failure (design §11): latents that vary little, or in few directions, are easy
to foresee. So held-out clips are asked how much latents vary, in how many directions, how much
better than constants and copies the future is foreseen, and what can be read off; and quads of the
worlds, whether what is hidden is kept in mind (design §8), which all of that may hide.
"""

import logging
from collections.abc import Sequence
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
from worldbench_models.gates.quads import MatchedQuad, presence_quads
from worldbench_models.jepa.network import JEPA
from worldbench_models.jepa.presence import presence
from worldbench_models.motion import MotionClips, single_object_clips
from worldbench_models.patches import FRAMES, PATCH, patchify_bytes
from worldbench_models.ridge import ridge_r2
from worldbench_models.training.pool import HELDOUT

logger = logging.getLogger(__name__)

CONTEXTS = tuple(range(PATCH[0], FRAMES, PATCH[0]))
"""Frames after which the future is foreseen: all that leave one, as suites ask after any."""

LEAST_STD, LEAST_RANK, LEAST_SHARE = 0.1, 8.0, 0.25
"""Latents that vary less are as good as collapsed: their own scale is 1, an untrained network's
pooled latents have an effective rank of about 17 of 64 clips. Few clips cannot have a high rank:
it is low where it is below this share of the highest, clips − 1; an untrained network has a third
of it of 32 clips, half of 8."""

_FEWEST = 32  # held-out clips without which nothing is read off: as many have one moving object
_CLIPS_PER_QUAD = 4  # as many clips are in one: the quads take as long to ask as the clips
_AT_ONCE = 64


class HeldOut:
    """Measures a network on clips that it never trains on.

    Args:
        trained: Frames of the contexts that it learns to foresee from. Skill after others is
            measured too, and never warned of.
    """

    def __init__(self, trained: Sequence[int] = CONTEXTS) -> None:
        self._trained = frozenset(map(str, trained))
        self._motion: MotionClips | None = None
        self._quads: list[MatchedQuad] | None = None

    def measure(
        self, network: JEPA, clips: UInt8[Tensor, "n frames height width 3"]
    ) -> dict[str, Any]:
        """Measures, and warns where latents collapse.

        Returns:
            - ``feature_std``: standard deviation of a channel over tokens of all clips
            - ``rank_me``: effective rank of latents pooled by clip
            - ``content_share`` and ``alone_agreement``, of these functions (left out where there is
              one clip only)
            - ``skill``: of predictions, by frames of context and baseline (left out where the
              baseline makes no error, or there is one clip only)
            - ``ridge_r2``: R² of position and velocity of an object, read off latents pooled by
              latent step (left out where there are fewer than 32 clips)
            - ``presence``: by condition, accuracy and the share of ties of a quarter as many quads,
              other ones than the gates' (left out likewise)
        """
        parts = [latents_of(network, part) for part in torch.split(clips, _AT_ONCE)]
        latents = torch.cat(parts)
        some = latents.flatten(0, 3)[::7]
        found: dict[str, Any] = {
            "feature_std": spread(some),
            "rank_me": rank_me(latents.mean(dim=(1, 2, 3))),
            "skill": {str(c): skill(network, clips, c) for c in CONTEXTS if len(clips) > 1},
        }
        if len(clips) > 1:
            found["content_share"] = content_share(latents)
            found["alone_agreement"] = alone_agreement(network, clips, latents)
        if len(clips) >= _FEWEST:
            found["ridge_r2"] = self._read_off(network, len(clips), clips.device)
            if self._quads is None:
                self._quads = presence_quads(len(clips) // _CLIPS_PER_QUAD, seed=HELDOUT.seed)
            found["presence"] = presence(network, self._quads, clips.device)
        learnt = {at: by for at, by in found["skill"].items() if at in self._trained}
        for warning in warnings_of(found | {"skill": learnt}, len(clips)):
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


def content_share(latents: Float[Tensor, "n t h w d"]) -> float:
    """Returns the share of latents' variance that is left when each place's mean is taken away.

    The rest tells no more than where and when a token is, which anybody foresees: latents may have
    a large spread, a high rank and foreseeable parts, and hardly say what is seen.

    Returns:
        0 if all clips have the same latents, 1 if those of no step, row and column have anything
        in common; 0 if nothing varies.
    """
    rows = latents.flatten(1, 3).double()
    every = rows.var(dim=(0, 1), correction=0).sum()
    here = rows.var(dim=0, correction=0).mean(dim=0).sum()
    return float(here / every) if float(every) > 0 else 0.0


def alone_agreement(
    network: JEPA,
    clips: UInt8[Tensor, "n frames height width 3"],
    latents: Float[Tensor, "n t h w d"],
) -> float:
    """Compares the last half of clips, encoded alone, with the same steps of the whole encoded.

    Questions are about futures encoded alone (design §8). Where that changes their latents, what is
    learnt of other stretches is of no use to them.

    Args:
        network: What encodes.
        clips: Stored clips.
        latents: Of the whole clips.

    Returns:
        1 − L1 between both over the L1 of the mean of what is encoded alone: 1 if they are the
        same, 0 or less if one says nothing of the other; 0 if nothing varies.
    """
    half = latents.shape[1] // 2
    alone = torch.cat(
        [latents_of(network, p) for p in torch.split(clips[:, half * PATCH[0] :], _AT_ONCE)]
    )
    apart = (latents[:, half:] - alone).abs().mean(dtype=torch.float64)
    spread_out = (alone - alone.mean(dim=(0, 1, 2, 3))).abs().mean(dtype=torch.float64)
    return 1 - float(apart / spread_out) if float(spread_out) > 0 else 0.0


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
    if found.get("alone_agreement", 1.0) < 0:
        said.append(
            f"latents of the last half alone are far from those within the clip (agreement "
            f"{found['alone_agreement']:.2f}): they tell how long the stretch is"
        )
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
