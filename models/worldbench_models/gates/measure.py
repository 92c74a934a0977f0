"""Every part of the gates that fits an adapter, one after the other."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.adapter import Adapter, Generates, Surprises
from worldbench.data.worlds.content import Tell
from worldbench.errors import UsageError
from worldbench_models.gates.clips import moving_clips
from worldbench_models.gates.features import feature_gates, measure_features
from worldbench_models.gates.forecast import forecast_gates, measure_forecast
from worldbench_models.gates.foresight import foresight_gates, measure_foresight
from worldbench_models.gates.gate import Gate, eye_gate
from worldbench_models.gates.latents import Foresees, Latent, random_clips
from worldbench_models.gates.presence import measure_presence, presence_gates
from worldbench_models.gates.quads import presence_quads
from worldbench_models.gates.rollouts import roll_out
from worldbench_models.motion import single_object_clips
from worldbench_models.training.folder import ROLLOUTS


@dataclass(frozen=True)
class Settings:
    """How much is measured, and where.

    Attributes:
        clips: Moving-object clips that a generator rolls out.
        samples: Rollouts per clip.
        pool: Clips of all sorts that a predictor encodes, half of them to foresee.
        motion: Clips with one moving object that is read off a predictor's latents.
        quads: Presence quads.
        batch: Clips or quads at once.
        device: Where adapters are asked.
        operator: How surprise is measured; the adapter's headline if None.
        workers: Processes that simulate; as many as there are cores if None.
    """

    clips: int = 256
    samples: int = 8
    pool: int = 1024
    motion: int = 768
    quads: int = 240
    batch: int = 16
    device: str = "cpu"
    operator: str | None = None
    workers: int | None = None


@dataclass
class Measured:
    """What has been measured so far.

    Attributes:
        gates: The gates.
        values: What they were measured from, by part.
        seconds: Wall time of each part.
    """

    gates: list[Gate]
    values: dict[str, Any]
    seconds: dict[str, float]

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Notes how long a part takes."""
        began = time.perf_counter()
        yield
        self.seconds[part] = round(time.perf_counter() - began, 1)


def require_gates(adapter: Adapter) -> None:
    """Makes sure that there is something to measure.

    Raises:
        UsageError: If the adapter can do nothing that has a gate.
    """
    if not isinstance(adapter, Generates | Surprises | Foresees):
        raise UsageError(
            f"adapter {adapter.card.name!r} has no gates",
            seen=", ".join(adapter.card.capabilities),
            accepted="an adapter that generates, predicts and encodes, or is surprised",
        )


def measure(
    adapter: Adapter,
    twin: Adapter | None,
    folder: Path,
    settings: Settings,
    tell: Callable[[str], Tell],
) -> Measured:
    """Measures what the adapter can do; rollouts, where there are any, are kept in the folder.

    Args:
        adapter: The model.
        twin: The model with random weights; None leaves its gates unmeasured.
        folder: The run folder.
        settings: How much, and where.
        tell: Gives, for the name of a part, what is called with (done, in all).

    Raises:
        ContractError: If an answer breaks the contract.
    """
    found = Measured([], {}, {})
    if isinstance(adapter, Generates):
        with found.timed("forecast"):
            roll_out(adapter, device=settings.device).save(folder / ROLLOUTS)
            _forecast(adapter, settings, found, tell)
            found.gates.append(eye_gate())
    if isinstance(adapter, Foresees):
        _latents(adapter, twin, settings, found, tell)
    if isinstance(adapter, Surprises):
        with found.timed("presence"):
            _presence(adapter, twin, settings, found, tell)
    return found


def _forecast(
    adapter: Adapter, settings: Settings, found: Measured, tell: Callable[[str], Tell]
) -> None:
    clips = moving_clips(
        settings.clips,
        device=settings.device,
        workers=settings.workers,
        tell=tell("moving-object clips"),
    )
    forecast = measure_forecast(
        adapter, clips, samples=settings.samples, batch=settings.batch, tell=tell("rollouts")
    )
    found.values["forecast"] = forecast.to_dict()
    found.gates += forecast_gates(forecast)


def _latents(
    adapter: Foresees,
    twin: Adapter | None,
    settings: Settings,
    found: Measured,
    tell: Callable[[str], Tell],
) -> None:
    device, workers, batch = settings.device, settings.workers, settings.batch
    with found.timed("foresight"):
        clips = random_clips(
            settings.pool, device=device, workers=workers, tell=tell("held-out clips")
        )
        foresight = measure_foresight(adapter, clips, batch=batch, tell=tell)
        found.values["foresight"] = foresight.to_dict()
        found.gates += foresight_gates(foresight)
    with found.timed("features"):
        motion = single_object_clips(
            settings.motion, device=device, workers=workers, tell=tell("one-object clips")
        )
        asked: dict[str, Latent] = {"model": adapter}
        if isinstance(twin, Latent):
            asked["twin"] = twin
        features = measure_features(asked, clips, motion, batch=batch, tell=tell)
        found.values["features"] = features.to_dict()
        found.gates += feature_gates(features)


def _presence(
    adapter: Adapter,
    twin: Adapter | None,
    settings: Settings,
    found: Measured,
    tell: Callable[[str], Tell],
) -> None:
    quads = presence_quads(settings.quads, workers=settings.workers, tell=tell("presence quads"))
    asked = {"model": adapter} if twin is None else {"model": adapter, "twin": twin}
    presence = {
        who: {
            condition: measure_presence(
                each,
                quads,
                condition,
                operator=settings.operator,
                batch=settings.batch,
                device=settings.device,
                tell=tell(f"{who}, {condition}"),
            )
            for condition in ("occluded", "visible")
        }
        for who, each in asked.items()
    }
    found.values["presence"] = {
        who: {condition: one.to_dict() for condition, one in by.items()}
        for who, by in presence.items()
    }
    found.gates += presence_gates(presence["model"], presence.get("twin"))
