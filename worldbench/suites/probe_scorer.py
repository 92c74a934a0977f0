"""The working half of ``probe``: asks fitted probes about test videos."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldbench.adapter import Adapter
from worldbench.batches import clip_batches
from worldbench.data.source import ClipSource
from worldbench.probes.credit import credit
from worldbench.probes.extraction import Extraction
from worldbench.probes.families import seen_by
from worldbench.suite import Batch, Row, Setting, Summary
from worldbench.suites.probe_fits import Fits, Fitter, Training, left_out
from worldbench.suites.probe_protocol import transfer_source
from worldbench.suites.probe_training import Fitted

if TYPE_CHECKING:
    from worldbench.suites.probe import Probe


@dataclass(frozen=True)
class ProbeScorer:
    """Scores what probes say of videos.

    Attributes:
        suite: The probes.
        training: What they learn from.
        first: Id of the first trial, whose rows also hold what is measured once.
        transfer: Other data to ask about, if any.
        setting: Device, precision, decoding.
    """

    suite: "Probe"
    training: Training
    first: str
    transfer: ClipSource | None
    setting: Setting
    _fits: dict[str, Fits] = field(default_factory=dict)

    @classmethod
    def load(cls, suite: "Probe", data: ClipSource, setting: Setting) -> "ProbeScorer":
        """Lists the training clips.

        Raises:
            DataError: If they have no classes.
        """
        from worldbench.suites.probe import training_split

        training = Training.of(training_split(data))
        first = suite.trials(data)[0].id
        return cls(suite, training, first, transfer_source(suite.transfer), setting)

    def score(self, adapter: Adapter, batch: Batch) -> list[Row]:
        """Asks every probe about every video; one row per video and probe.

        The first trial also gets the rows of the grid and of the transfer clips, so that a run that
        resumes has them.
        """
        ids = [clip for trial in batch.trials for clip in trial.clips]
        views = [len(trial.clips) for trial in batch.trials]
        found = self._asked(adapter, batch.clips, ids, views)
        fits = self.fits(adapter)
        rows: list[Row] = []
        for i, trial in enumerate(batch.trials):
            same = {"trial": trial.id, "cluster": trial.cluster, **_cost(fits, views[i])}
            label = str(trial.factors["label"])
            rows += [same | self._row(f, s[i], label) for f, s in found]
            if trial.id == self.first:
                once = {"trial": trial.id, "cluster": trial.cluster}
                rows += [once | row for row in fits.grid]
                rows += [once | row for row in self._transfer(adapter)]
        # The first probe as it is, on test clips: what adapters are ranked on.
        for row in rows:
            if row["role"] == "probe" and row["probe"] == self.suite.probes[0]:
                plain = row["control"] is None and row["share"] is None
                row |= {"role": "rollout", "top1": row["correct"]} if plain else {}
        return rows

    def summarise(self, rows: Sequence[Row]) -> Summary:
        """Turns rows into accuracies with intervals."""
        from worldbench.suites.probe_summary import summarise

        items = self.training.items
        return summarise(rows, self.suite, items, left_out(self.suite, items))

    def examples(self, adapter: Adapter, batch: Batch) -> dict[str, UInt8[np.ndarray, "t h w 3"]]:
        """Returns nothing: a probe makes no videos."""
        return {}

    def fits(self, adapter: Adapter) -> Fits:
        """Returns the probes of an adapter, fitted on first use."""
        revision = adapter.card.revision
        if revision not in self._fits:
            extraction = Extraction(adapter, self.setting, self.suite.kept)
            self._fits[revision] = Fitter(self.suite, self.training, extraction).fit()
        return self._fits[revision]

    def _asked(
        self,
        adapter: Adapter,
        clips: Float[Tensor, "n t 3 h w"],
        ids: Sequence[str],
        views: Sequence[int],
    ) -> list[tuple[Fitted, Float[Tensor, "b k"]]]:
        """Returns every probe's scores of videos, each the mean over its views."""
        extraction = Extraction(adapter, self.setting, self.suite.kept)
        probes = self.fits(adapter).probes
        tokens: dict[tuple[Any, Any], Tensor] = {}
        for change in dict.fromkeys(fitted.change for fitted in probes):
            cells = list(dict.fromkeys(f.cell for f in probes if f.change == change))
            found = extraction.of_batch(clips, ids, cells, change)
            tokens |= {(cell, change): seen for cell, seen in found.items()}
        answers = []
        for fitted in probes:
            scores = fitted.scores(seen_by(fitted.probe, tokens[fitted.cell, fitted.change]))
            means = [part.double().mean(dim=0) for part in torch.split(scores, list(views))]
            answers.append((fitted, torch.stack(means)))
        return answers

    def _row(self, fitted: Fitted, scores: Float[Tensor, " k"], label: str) -> Row:
        classes = self.training.items.classes
        wanted, given = torch.tensor([classes.index(label)]), scores[None]
        return {
            "role": "probe",
            "probe": fitted.probe,
            "control": fitted.factors.get("control"),
            "share": fitted.factors.get("share"),
            "split": fitted.factors.get("split"),
            "labels": fitted.labels,
            "layer": fitted.cell.layer,
            "depth": fitted.cell.depth,
            "noise": fitted.cell.noise,
            "setting": fitted.setting,
            "label": label,
            "predicted": classes[int(scores.argmax())],
            "correct": float(credit(given, wanted, 1)[0]),
            "correct5": float(credit(given, wanted, 5)[0]),
        }

    def _transfer(self, adapter: Adapter) -> list[Row]:
        """Asks the probes that are no controls about other clips of the same classes."""
        from worldbench.suites.probe import require_classes, views_of

        if self.transfer is None:
            return []
        views = views_of(self.transfer)
        require_classes(self.transfer.info.name, views, set(self.training.items.classes))
        groups = list(views.values())
        rows: list[Row] = []
        size = self.setting.batch_size
        for at in range(0, len(groups), size):
            some = groups[at : at + size]
            ids = [clip.id for clips in some for clip in clips]
            (video,) = clip_batches(self.transfer, [ids], device=self.setting.device)
            for fitted, scores in self._asked(adapter, video, ids, [len(c) for c in some]):
                if fitted.factors:
                    continue
                for clips, each in zip(some, scores, strict=True):
                    row = self._row(fitted, each, clips[0].label)
                    place = {"role": "transfer", "data": self.transfer.info.name}
                    rows.append(row | place | {"scene": clips[0].cluster})
        return rows


def _cost(fits: Fits, views: int) -> Row:
    """Returns what encoding all views of a video takes, or why there is no such number."""
    if fits.cost.uncounted:
        return {"gflops": None, "uncounted": fits.cost.why_incomplete}
    return {"gflops": fits.cost.flops / 1e9 * views}
