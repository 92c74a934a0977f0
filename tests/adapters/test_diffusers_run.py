"""Runs of two suites on tiny pipelines, from the command line to the record."""

from pathlib import Path

import pytest
from diffusers_files import saved_once

from worldbench import cli, record
from worldbench.schema import Record

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("clean_process")]


def records(name: str, factory: pytest.TempPathFactory, *words: str) -> dict[str, Record]:
    """Runs suites on a pipeline and returns their records by suite."""
    asked = [
        "adapter=diffusers",
        f"adapter.weights={saved_once(name, factory)}",
        "adapter.dtype=fp32",
        "adapter.steps=1",
        "adapter.levels=[0.5]",
        "device=cpu",
        "limit=8",
        "batch_size=4",
        "records=records",
    ]
    assert cli.main(["run", *words, *asked]) == 0
    found = [record.read(path) for path in Path("records").rglob("*.json")]
    return {each.body.suite.name: each for each in found}


@pytest.mark.parametrize("name", ["svd", "wan", "ltx"])
def test_both_suites_run_in_one_sweep(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    found = records(name, tmp_path_factory, "-m", "suite=permanence,video_distance")
    permanence, distance = found["permanence"].body, found["video_distance"].body
    assert permanence.status == "ok"
    headline, tied = permanence.headline, next(m for m in permanence.metrics if m.name == "tied")
    assert headline is not None
    assert headline.factors["operator"] == "denoising_error"
    # Whatever sees one frame of a context cannot tell the halves of a quad apart, not by a bit.
    assert (tied.value == 1) == (name != "ltx")
    if name != "ltx":
        assert headline.value == 0.5
        assert distance.status == "ok"
        measured = {metric.name for metric in distance.metrics if metric.status == "ok"}
        assert {"psnr", "ssim"} <= measured
        return
    assert distance.status == "skipped"
    assert "8" in str(distance.reason)
    halves = ("suite.context=8", "suite.horizon=8")
    again = records(name, tmp_path_factory, "suite=video_distance", *halves)
    assert again["video_distance"].body.adapter.temporal_stride == 8
