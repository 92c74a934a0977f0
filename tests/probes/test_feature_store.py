"""The cache of features: mapped, checked, shared between processes, evicted by command alone."""

import logging
import multiprocessing
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from worldbench.cli import main
from worldbench.errors import EnvironmentFault
from worldbench.probes import store
from worldbench.probes.store import FeatureSet, TokenTable, evict, inventory

ABOUT = {"kind": "tokens", "adapter": "of nobody"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path))


def some(count: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(count)
    return {"tokens": torch.randn(count, 4, 8, generator=generator).bfloat16()}


def features(name: str = "one", kept: bool = True) -> FeatureSet:
    return FeatureSet({"name": name}, ABOUT, kept)


def refuse() -> dict[str, Tensor]:
    raise AssertionError("it was in the cache")


def test_what_was_computed_is_read_back_mapped_and_bit_by_bit() -> None:
    first = features().chunk(0, some)
    again = features().chunk(0, refuse)
    assert again["tokens"].dtype == torch.bfloat16
    assert torch.equal(first["tokens"], again["tokens"])
    assert torch.equal(again["tokens"], some()["tokens"])
    assert features("two").folder != features().folder


def test_without_the_cache_nothing_is_written() -> None:
    alone = features(kept=False)
    assert torch.equal(alone.chunk(0, some)["tokens"], alone.chunk(0, refuse)["tokens"])
    assert inventory() == []


@pytest.mark.parametrize("how", ["flipped", "cut", "emptied"])
def test_a_chunk_that_is_not_what_was_written_is_computed_again(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    features().chunk(0, some)
    (path,) = features().folder.glob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes({"flipped": bytes(data), "cut": bytes(data[:-9]), "emptied": b""}[how])
    assert torch.equal(features().chunk(0, some)["tokens"], some()["tokens"])
    assert "computing it again" in caplog.text
    assert torch.equal(features().chunk(0, refuse)["tokens"], some()["tokens"])


def test_the_size_is_told_before_anything_is_written(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        features().announce(1000, 512 * 384, 2)
    assert "tokens of nobody: 375.0 MiB in" in caplog.text
    assert not list(features().folder.glob("*.safetensors"))


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage("/")._replace(free=1 << 20)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: full)
    with pytest.raises(EnvironmentFault, match="no room") as caught:
        features().announce(1000, 512 * 384, 2)
    assert "data features --evict" in str(caught.value)


def test_nothing_is_told_of_what_is_there_already(caplog: pytest.LogCaptureFixture) -> None:
    features().chunk(0, some)
    with caplog.at_level(logging.INFO):
        features().announce(3, 4 * 8, 2)
    assert caplog.text == ""


def slowly(folder: Path) -> dict[str, Tensor]:
    import time

    (folder / f"computed-{torch.randint(1 << 30, ()).item()}").touch()
    time.sleep(0.5)
    return some()


def compute(folder: Path) -> None:
    import os

    torch.manual_seed(os.getpid())
    found = features().chunk(0, lambda: slowly(folder))
    assert torch.equal(found["tokens"], some()["tokens"])


def test_of_several_processes_one_computes(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    working = [fork.Process(target=compute, args=(tmp_path,)) for _ in range(3)]
    for process in working:
        process.start()
    for process in working:
        process.join()
    assert [process.exitcode for process in working] == [0, 0, 0]
    assert len(list(tmp_path.glob("computed-*"))) == 1


@pytest.fixture
def _two_sets() -> None:
    for name in ("one", "two"):
        features(name).announce(3, 4 * 8, 2)
        features(name).chunk(0, some)


@pytest.mark.usefixtures("_two_sets")
def test_the_command_lists_and_evicts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "features"]) == 0
    assert capsys.readouterr().out.count("tokens of nobody") == 2
    name = features("one").folder.name
    assert main(["data", "features", "--evict", name[:12]]) == 0
    assert [stored.name for stored in inventory()] == [features("two").folder.name]
    assert main(["data", "features", "--evict", "all"]) == 0
    assert inventory() == []
    assert main(["data", "features", "--evict", "nonsense"]) == 2


@pytest.mark.usefixtures("_two_sets")
def test_what_is_mapped_outlives_eviction() -> None:
    held = features("one").chunk(0, refuse)["tokens"]
    assert len(evict(["all"])) == 2
    assert torch.equal(held, some()["tokens"])


def test_a_table_reads_across_chunks() -> None:
    whole = torch.arange(7 * 2 * 3).reshape(7, 2, 3).bfloat16()
    table = TokenTable([whole[:3], whole[3:6], whole[6:]])
    index = torch.tensor([6, 0, 3, 3, 2])
    assert len(table) == 7
    assert torch.equal(table.take(index), whole[index].float())
