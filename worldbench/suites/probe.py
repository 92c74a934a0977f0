"""What do frozen features know?

A model encodes clips and is not trained any further; classifiers of four kinds, from a linear map
of the mean token to V-JEPA's attentive pooler, are trained on its features and asked about clips of
the test split (design §12). All kinds are shown, since pooling decides: on Kinetics-400 the same
V-JEPA scores 56.7 linearly and 80.8 attentively (Bardes et al. 2024, arXiv 2404.08471). Notable:

- where features are taken and how heads are set is chosen on a fold of the training split, out of
  as many heads for one model as for another; the grid stands among the rows of the record
- the headline is the probe that is named first, the attentive one, and is not chosen either
- controls: shuffled labels, shuffled frames, a single frame; as adapters, raw pixels and each
  model's untrained twin
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from worldbench.data.source import Clip, ClipSource, require_disjoint
from worldbench.errors import DataError, UsageError
from worldbench.options import at_least, one_of, yes_or_no
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Scorer, Setting, lacks_capability

PROBES = ("attentive", "logistic", "ridge", "knn")


class Probe:
    """Top-1, top-5 and per-class accuracy of probes on frozen features.

    Args:
        probes: Which, the headline's first: ``attentive``, ``logistic``, ``ridge``, ``knn``.
        depth: Of the attentive probe: 1 is V-JEPA's, 4 as deep as V-JEPA 2's.
        epochs: Passes over the training clips, of the attentive probe.
        least_steps: Steps that it takes at the least, where that many passes are fewer.
        batch: Clips per step.
        few_shares: Shares of the training scenes of each class that probes are also fitted to.
        few_splits: Independent choices of each share.
        few_probes: Which probes are.
        controls: Whether controls are measured.
        transfer: Other clips of the same classes to be asked about as well: the name of data that
            ``worldbench list`` shows, or a mapping with its ``name`` and options.
        cache: Whether features are kept on disk; else in memory.

    Raises:
        UsageError: If an option is out of range.
    """

    name = "probe"
    version = "1"
    accepts: tuple[str, ...] = ("encodes",)
    metric_versions: ClassVar[dict[str, str]] = {
        "top1": "1",
        "top5": "1",
        "per_class": "1",
        "fold_top1": "1",
        "gflops": "1",
    }
    # Raw pixels on a GPU and on a CPU: .006 of 320 clips, in what was fitted to few labels.
    slack: ClassVar[dict[str, float]] = dict.fromkeys(
        ("top1", "top5", "per_class", "fold_top1"), 0.02
    )
    samples = 1

    def __init__(
        self,
        probes: Sequence[str] = PROBES,
        *,
        depth: int = 1,
        epochs: int = 20,
        least_steps: int = 300,
        batch: int = 64,
        few_shares: Sequence[float] = (0.01, 0.05, 0.1, 0.5),
        few_splits: int = 3,
        few_probes: Sequence[str] = ("logistic",),
        controls: bool = True,
        transfer: str | Mapping[str, Any] | None = None,
        cache: bool = True,
    ) -> None:
        self.probes = _known("suite.probes", probes, least=1)
        self.few_probes = _known("suite.few_probes", few_probes, least=0)
        self.depth = at_least("suite.depth", depth, 1)
        self.epochs = at_least("suite.epochs", epochs, 1)
        self.least_steps = at_least("suite.least_steps", least_steps, 1)
        self.batch = at_least("suite.batch", batch, 1)
        self.few_splits = at_least("suite.few_splits", few_splits, 1)
        self.few_shares = tuple(_share(share) for share in few_shares)
        self.controls = yes_or_no("suite.controls", controls)
        self.kept = yes_or_no("suite.cache", cache)
        self.transfer = transfer

    def trials(self, data: ClipSource) -> list[Trial]:
        """Lists the test videos; the clips of one are its views.

        Raises:
            DataError: If there is no training split, or test clips of a class that it lacks.
        """
        known = {clip.label for clip in training_split(data).clips()}
        views = views_of(data)
        require_classes(data.info.name, views, known)
        return [
            Trial(
                video,
                clips[0].cluster,
                tuple(clip.id for clip in clips),
                {"label": clips[0].label},
            )
            for video, clips in views.items()
        ]

    def protocol(self, data: ClipSource) -> dict[str, Any]:
        """Returns the probes, their grids, the training split and the clips' format."""
        from worldbench.suites.probe_protocol import protocol

        return protocol(self, data)

    def unsupported(self, card: AdapterCard) -> str | None:
        """Says why this adapter cannot be asked, or None."""
        return lacks_capability(card, self.accepts)

    def scorer(self, data: ClipSource, setting: Setting) -> Scorer:
        """Lists the training clips; features are extracted when an adapter is first asked."""
        from worldbench.suites.probe_scorer import ProbeScorer

        return ProbeScorer.load(self, data, setting)


def training_split(data: ClipSource) -> ClipSource:
    """Returns the training split.

    Raises:
        DataError: If there is none, or a file of it is asked about too.
    """
    if data.train is None:
        raise DataError(
            f"{data.info.name} has no training split to fit probes on",
            accepted="data with a training split",
            fix="data.train='{split: train}' or '{root: DIR}', or data=worlds_motion_quick",
        )
    require_disjoint(data.train, data)
    return data.train


def views_of(data: ClipSource) -> dict[str, list[Clip]]:
    """Returns the clips of each video, in the order of the data."""
    views: dict[str, list[Clip]] = defaultdict(list)
    for clip in data.clips():
        views[clip.video].append(clip)
    return dict(views)


def require_classes(name: str, views: Mapping[str, Sequence[Clip]], known: set[str]) -> None:
    """Refuses clips of a class that no probe has seen.

    Raises:
        DataError: With the classes.
    """
    unseen = sorted({clips[0].label for clips in views.values()} - known)
    if unseen:
        raise DataError(
            f"clips of {name} are of classes that the training split lacks",
            seen=", ".join(map(repr, unseen[:5])),
            accepted=", ".join(map(repr, sorted(known)[:8])),
            fix="data.classes keeps some classes only",
        )


def _known(option: str, probes: Sequence[str], least: int) -> tuple[str, ...]:
    names = tuple(one_of(option, name, PROBES) for name in probes)
    if len(names) < least or len(set(names)) < len(names):
        raise UsageError(
            f"{option} names no probe, or one twice",
            seen=list(probes),
            accepted=f"some of {', '.join(PROBES)}, the headline's first",
            fix=f"{option}=[{','.join(PROBES)}]",
        )
    return names


def _share(share: float) -> float:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise UsageError(
            "suite.few_shares holds no share",
            seen=share,
            accepted="numbers between 0 and 1",
            fix="suite.few_shares=[0.01,0.05,0.1,0.5]",
        )
    return float(share)
