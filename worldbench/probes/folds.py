"""Which training clips choose, and which are used where labels are few."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

HELD_OUT = 0.25
"""Share of the training scenes of each class that hyper-parameters are chosen on."""


def selection_fold(labels: Sequence[str], clusters: Sequence[str]) -> list[bool] | None:
    """Says which items are held out: a quarter of the scenes of each class, one at the least.

    Whole scenes are dealt out, in the order of a hash of their names, so that clips of one video
    are never on both sides. A class of one scene is not held out.

    Args:
        labels: Class of each item.
        clusters: Scene or source video of each.

    Returns:
        One flag per item; None where no class has two scenes, so that nothing can be chosen.
    """
    held: set[str] = set()
    for scenes in _scenes(labels, clusters, "selection").values():
        if len(scenes) > 1:
            held |= set(scenes[: max(1, round(HELD_OUT * len(scenes)))])
    return [cluster in held for cluster in clusters] if held else None


def few_labels(
    labels: Sequence[str], clusters: Sequence[str], share: float, split: int
) -> list[int]:
    """Chooses a share of the scenes of each class, one at the least.

    Args:
        labels: Class of each item.
        clusters: Scene or source video of each.
        share: Of the scenes, in (0, 1].
        split: Which of several independent choices.

    Returns:
        The items, in their order.
    """
    kept: set[str] = set()
    for scenes in _scenes(labels, clusters, f"few labels {split}").values():
        kept |= set(scenes[: max(1, round(share * len(scenes)))])
    return [i for i, cluster in enumerate(clusters) if cluster in kept]


def _scenes(labels: Sequence[str], clusters: Sequence[str], salt: str) -> dict[str, list[str]]:
    """Returns each class's scenes in the order of a hash; a scene is of its first item's class."""
    of_scene: dict[str, str] = {}
    for label, cluster in zip(labels, clusters, strict=True):
        of_scene.setdefault(cluster, label)
    found: dict[str, list[str]] = defaultdict(list)
    for cluster in sorted(of_scene, key=lambda name: _hash(salt, name)):
        found[of_scene[cluster]].append(cluster)
    return dict(sorted(found.items()))


def _hash(salt: str, name: str) -> bytes:
    return hashlib.sha256(f"{salt}/{name}".encode()).digest()
