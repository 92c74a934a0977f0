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
    by_class = _scenes(labels, clusters, "selection")
    left = {label: len(scenes) for label, scenes in by_class.items()}
    classes: dict[str, set[str]] = defaultdict(set)
    for label, cluster in zip(labels, clusters, strict=True):
        classes[cluster].add(label)
    held: set[str] = set()
    for scenes in by_class.values():
        wanted = max(1, round(HELD_OUT * len(scenes)))
        for scene in scenes:
            if len(held.intersection(scenes)) >= wanted:
                break
            # A scene may be of several classes, and one of each has to be left to learn from.
            if scene not in held and all(left[label] > 1 for label in classes[scene]):
                held.add(scene)
                for label in classes[scene]:
                    left[label] -= 1
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
    """Returns each class's scenes in the order of a hash; a scene may be of several classes."""
    of_scene: dict[str, set[str]] = defaultdict(set)
    for label, cluster in zip(labels, clusters, strict=True):
        of_scene[cluster].add(label)
    found: dict[str, list[str]] = defaultdict(list)
    for cluster in sorted(of_scene, key=lambda name: _hash(salt, name)):
        for label in of_scene[cluster]:
            found[label].append(cluster)
    return dict(sorted(found.items()))


def _hash(salt: str, name: str) -> bytes:
    return hashlib.sha256(f"{salt}/{name}".encode()).digest()
