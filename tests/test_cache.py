import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from worldbench.cache import cache_folder, cached_tensors
from worldbench.errors import EnvironmentFault


class Computing:
    """Counts how often it is asked for its tensors."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, object]:
        self.calls += 1
        generator = torch.Generator().manual_seed(0)
        return {
            "half": torch.rand(3, 2, generator=generator).half(),
            "double": torch.rand(4, generator=generator, dtype=torch.float64) * 1e-300,
            "whole": torch.arange(5),
        }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path))
    return tmp_path


def same(a: dict[str, object], b: dict[str, object]) -> bool:
    assert set(a) == set(b)
    return all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)  # type: ignore[attr-defined]


def stored(folder: Path) -> Path:
    (file,) = folder.rglob("*.safetensors")
    return file


def test_cached_tensors_equal_computed_ones_to_the_bit(folder):
    compute = Computing()
    first = cached_tensors("features", {"a": 1, "b": [2, 3]}, compute)
    second = cached_tensors("features", {"b": [2, 3], "a": 1}, compute)
    assert compute.calls == 1
    assert same(first, Computing()())
    assert same(second, first)


@pytest.mark.parametrize("key", [{"a": 2}, {"a": 1, "c": None}, {"a": "1"}])
def test_another_key_is_computed_anew(folder, key):
    compute = Computing()
    cached_tensors("features", {"a": 1}, compute)
    cached_tensors("features", key, compute)
    assert compute.calls == 2


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff" * 64)


def text(path: Path) -> None:
    path.write_text("not what it should be, but long enough to look like a header")


@pytest.mark.parametrize("damage", [cut, empty, garbage, text])
def test_a_damaged_file_is_computed_again(folder, damage: Callable[[Path], None], caplog):
    compute = Computing()
    first = cached_tensors("features", {"a": 1}, compute)
    damage(stored(folder))
    assert same(cached_tensors("features", {"a": 1}, compute), first)
    assert compute.calls == 2
    assert "damaged" in caplog.text
    assert same(cached_tensors("features", {"a": 1}, compute), first)
    assert compute.calls == 2


def test_a_failed_computation_leaves_nothing_behind(folder):
    def fail() -> dict[str, object]:
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        cached_tensors("features", {"a": 1}, fail)
    assert not list(folder.rglob("*.safetensors"))
    assert same(cached_tensors("features", {"a": 1}, Computing()), Computing()())


@pytest.mark.timeout(20)
def test_of_several_askers_one_computes(folder):
    compute, found = Computing(), []
    threads = [
        threading.Thread(target=lambda: found.append(cached_tensors("x", {"a": 1}, compute)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compute.calls == 1
    assert len(found) == 4
    assert all(same(f, found[0]) for f in found)


def test_a_cache_that_cannot_be_created_is_the_machines_fault(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(EnvironmentFault, match="cannot create the cache folder") as caught:
        cached_tensors("features", {"a": 1}, Computing())
    assert "WORLDBENCH_CACHE=" in str(caught.value)


def test_a_cache_folder_that_cannot_be_written_is_the_machines_fault(folder, monkeypatch):
    # Permission bits do not stop root, so the refusal comes from the call that creates the lock.
    import os

    real = os.open

    def refuse(path: object, *args: object, **kwargs: object) -> int:
        if str(path).endswith(".lock"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(EnvironmentFault) as caught:
        cached_tensors("features", {"a": 1}, Computing())
    assert "WORLDBENCH_CACHE" in str(caught.value)


def test_the_cache_folder_follows_the_environment_at_call_time(tmp_path, monkeypatch):
    for name in ("one", "two"):
        monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / name))
        assert cache_folder("a", "b") == tmp_path / name / "a" / "b"
        assert (tmp_path / name / "a" / "b").is_dir()
