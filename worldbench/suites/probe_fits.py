"""All the probes that one adapter is judged by: chosen, with few labels, and the controls."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from worldbench.adapter import Adapter, Encodes
from worldbench.batches import clip_batches
from worldbench.data.source import ClipSource
from worldbench.errors import ContractError, DataError
from worldbench.flops import Counted, count
from worldbench.probes.attentive_fit import Schedule, Step, Tokens
from worldbench.probes.changes import CONTROLS, Change
from worldbench.probes.extraction import Extraction, Pooled
from worldbench.probes.families import ATTENTIVE, LOGISTIC, Settings, Subset, told
from worldbench.probes.folds import few_labels
from worldbench.probes.grid import FeatureCell, feature_cells
from worldbench.schema import seed_of
from worldbench.suites.probe_training import Asked, Fitted, Items, choose, fit_chosen

if TYPE_CHECKING:
    from worldbench.suites.probe import Probe

logger = logging.getLogger(__name__)

SHUFFLED_LABELS = "shuffled_labels"


@dataclass(frozen=True)
class Fits:
    """Everything that is asked about a test clip.

    Attributes:
        probes: The headline's first.
        grid: What was tried, and what a fold of the training split said of it.
        cost: Operations of encoding one clip at the chosen place.
    """

    probes: tuple[Fitted, ...]
    grid: tuple[dict[str, object], ...]
    cost: Counted


@dataclass(frozen=True)
class Training:
    """The training split.

    Attributes:
        source: Its clips.
        ids: Their ids.
        items: Their classes and scenes.
    """

    source: ClipSource
    ids: tuple[str, ...]
    items: Items

    @classmethod
    def of(cls, source: ClipSource) -> "Training":
        """Lists the clips of a training split.

        Raises:
            DataError: If clips have no class, or all the same.
        """
        clips = source.clips()
        labels = tuple(clip.label for clip in clips)
        classes = tuple(sorted(set(labels)))
        if "" in classes or len(classes) < 2:
            raise DataError(
                "a probe needs training clips of two classes or more",
                seen=f"{len(clips)} clips of {len([c for c in classes if c])} classes",
                accepted="a labelled training split",
                fix="data=worldbench list shows data with classes; data.train names the split",
            )
        clusters = tuple(clip.cluster for clip in clips)
        items = Items(labels, clusters, classes)
        return cls(source, tuple(clip.id for clip in clips), items)


@dataclass(frozen=True)
class Fitter:
    """Fits all probes of one adapter.

    Attributes:
        suite: Which probes, shares of labels and controls.
        training: What they learn from.
        extraction: Gives features.
    """

    suite: "Probe"
    training: Training
    extraction: Extraction

    def fit(self) -> Fits:
        """Extracts, chooses and fits.

        Raises:
            ContractError: If the adapter breaks its contract.
            EnvironmentFault: If features cannot be cached.
        """
        items, suite, training = self.training.items, self.suite, self.training
        adapter = self.extraction.adapter
        if not isinstance(adapter, Encodes):
            raise ContractError(f"adapter {adapter.card.name!r} does not encode")
        cells = feature_cells(adapter)
        pooled = self.extraction.pooled(training.source, training.ids, cells)
        chosen = choose(items, pooled, self._tokens, suite.probes, self._settings)
        logger.info("%s: features are taken at %s", adapter.card.name, chosen.cell)
        found = [
            Fitted(
                probe,
                chosen.cell,
                "none",
                {},
                len(items.labels),
                told(chosen.settings[probe]),
                self._fit(probe, items.targets, chosen.settings[probe], chosen.cell, pooled),
            )
            for probe in suite.probes
        ]
        found += self._few(pooled)
        if suite.controls:
            found += self._controls(chosen.cell, chosen.settings, pooled)
        grid = tuple({"role": "grid", **row} for row in chosen.grid)
        return Fits(tuple(found), grid, self.cost(chosen.cell))

    def _tokens(self, cell: FeatureCell, change: Change = "none") -> Tokens:
        return self.extraction.tokens(self.training.source, self.training.ids, cell, change)

    @property
    def _settings(self) -> Settings:
        suite, setting = self.suite, self.extraction.setting
        schedule = Schedule(suite.epochs, suite.least_steps, suite.batch, setting.seed)
        return Settings(suite.depth, schedule, setting.device)

    def _fit(
        self,
        probe: str,
        targets: Tensor,
        setting: float | Step,
        cell: FeatureCell,
        pooled: Pooled,
        change: Change = "none",
    ) -> Asked:
        x = self._tokens(cell, change) if probe == ATTENTIVE else pooled[cell]
        return fit_chosen(probe, self.training.items, targets, setting, x, self._settings)

    def _few(self, pooled: Pooled) -> list[Fitted]:
        """Fits probes to some of the labels, chosen on a fold of just those."""
        found = []
        for (share, split), index in few_sets(self.suite, self.training.items).items():
            items = self.training.items.of(index)
            at = torch.tensor(index)
            some = {cell: x[at] for cell, x in pooled.items()}

            def tokens(cell: FeatureCell, at: Tensor = at) -> Tokens:
                return Subset(self._tokens(cell), at)

            chosen = choose(items, some, tokens, self.suite.few_probes, self._settings)
            for probe in self.suite.few_probes:
                seen = tokens(chosen.cell) if probe == ATTENTIVE else some[chosen.cell]
                setting = chosen.settings[probe]
                scores = fit_chosen(probe, items, items.targets, setting, seen, self._settings)
                factors = {"share": share, "split": split}
                found.append(
                    Fitted(probe, chosen.cell, "none", factors, len(index), told(setting), scores)
                )
        return found

    def _controls(
        self, cell: FeatureCell, settings: dict[str, float | Step], pooled: Pooled
    ) -> list[Fitted]:
        """Fits the headline's and the logistic probe where there is less to learn.

        Nothing is chosen for a control: it is set as the probe that it controls.
        """
        probes = list(dict.fromkeys([self.suite.probes[0], LOGISTIC]))
        targets = self.training.items.targets
        generator = torch.Generator().manual_seed(seed_of("shuffled labels"))
        mixed = targets[torch.randperm(len(targets), generator=generator)]
        cases: list[tuple[str, Change, Tensor]] = [(SHUFFLED_LABELS, "none", mixed)]
        cases += [(change, change, targets) for change in CONTROLS]
        found = []
        for control, change, wanted in cases:
            given = pooled
            if change != "none":
                source, ids = self.training.source, self.training.ids
                given = self.extraction.pooled(source, ids, [cell], change)
            for probe in probes:
                scores = self._fit(probe, wanted, settings[probe], cell, given, change)
                told_as = told(settings[probe])
                factors = {"control": control}
                found.append(Fitted(probe, cell, change, factors, len(targets), told_as, scores))
        return found

    def cost(self, cell: FeatureCell) -> Counted:
        """Counts what encoding one clip in a cell takes."""
        adapter, setting = self.extraction.adapter, self.extraction.setting
        (video,) = clip_batches(
            self.training.source, [list(self.training.ids[:1])], device=setting.device
        )
        return counted(adapter, video, cell, setting.seed)


def counted(adapter: Adapter, video: Tensor, cell: FeatureCell, seed: int = 0) -> Counted:
    """Counts the matrix products, convolutions and attention of ``encode``."""
    assert isinstance(adapter, Encodes)
    return count(
        lambda: adapter.encode(video.clone(), layer=cell.layer, noise=cell.noise, seed=seed)
    )


def few_sets(suite: "Probe", items: Items) -> dict[tuple[float, int], list[int]]:
    """Lists the items of every share of labels and split.

    A share that leaves as few as a smaller one, since each class keeps one scene, is left out.
    """
    found: dict[tuple[float, int], list[int]] = {}
    sizes: set[int] = {len(items.labels)}
    for share in sorted(suite.few_shares):
        sets = [
            few_labels(items.labels, items.clusters, share, split)
            for split in range(suite.few_splits)
        ]
        if (size := max(map(len, sets))) in sizes:
            continue
        sizes.add(size)
        found |= {(share, split): index for split, index in enumerate(sets)}
    return found


def left_out(suite: "Probe", items: Items) -> Sequence[float]:
    """Returns the shares of labels that :func:`few_sets` leaves out."""
    kept = {share for share, _ in few_sets(suite, items)}
    return [share for share in sorted(suite.few_shares) if share not in kept]
