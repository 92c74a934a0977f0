"""Records to track, and what offline W&B runs hold."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from provenances import provenance

from worldbench.schema import (
    AdapterCard,
    Body,
    DataInfo,
    MetricResult,
    Record,
    SuiteInfo,
)

FAKE_KEY = "0123456789abcdef" * 2 + "01234567"


def a_record(*metrics: MetricResult) -> Record:
    return Record(
        body=Body(
            status="ok",
            key="k" * 64,
            adapter=AdapterCard(name="copy_last", revision="r" * 64, family="baseline"),
            suite=SuiteInfo(
                name="video_distance",
                version="1",
                data=DataInfo(name="clips", digest="d" * 64, clips=3, clusters=3),
                protocol={"horizon": 8},
            ),
            metrics=metrics,
        ),
        provenance=provenance(),
    )


METRICS = (
    MetricResult(name="psnr", value=21.5, low=20.0, high=23.0, higher_is_better=True),
    MetricResult(
        name="frechet",
        factors={"extractor": "effnetlite0-dt-pca64"},
        value=3.25,
        low=3.0,
        high=3.5,
        higher_is_better=False,
    ),
    MetricResult(
        name="pair_accuracy",
        factors={"violation": "presence", "condition": "occluded"},
        value=0.5,
        higher_is_better=True,
    ),
    MetricResult(
        name="ssim", status="skipped", reason="clips below 11 pixels", higher_is_better=True
    ),
)


def logged(run: Path) -> list[Any]:
    """Reads a transaction log: a 7-byte header, then LevelDB log blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    (path,) = run.glob("*.wandb")
    data, at, parts, records = path.read_bytes(), 7, b"", []
    assert data.startswith(b":W&B")
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            records.append(wandb_internal_pb2.Record.FromString(parts))
            parts = b""
    return records


def written(*roots: Path) -> Iterator[tuple[Path, bytes]]:
    for root in roots:
        for path in root.rglob("*"):
            if path.is_file():
                yield path, path.read_bytes()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home without W&B settings, credentials or variables."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", "XDG_")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    return home
