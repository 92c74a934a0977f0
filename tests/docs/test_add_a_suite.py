"""The package on the page about suites: its files are taken from there, installed and run."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_pages import DOCS, commands, files

from worldbench import leaderboard
from worldbench import record as records
from worldbench.cli import main

PAGE = DOCS / "add_a_suite.md"

pytestmark = pytest.mark.usefixtures("clean_process", "installed")


@pytest.fixture
def installed(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The package is where Python looks for packages."""
    site = tmp_path_factory.mktemp("site")
    for name, text in files(PAGE).items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    alone = ["--no-deps", "--no-index", "--no-build-isolation", "--target", str(site / "packages")]
    subprocess.run([*pip, *alone, str(site / "arrow_package")], check=True)
    monkeypatch.syspath_prepend(str(site / "packages"))
    yield
    sys.modules.pop("arrow", None)


def shown(word: str) -> list[str]:
    """Returns the words of the page's command that begins with ``worldbench WORD``."""
    (line,) = (c for c in commands(PAGE) if c.startswith(f"worldbench {word}"))
    return line.split()[1:]


def test_what_the_page_shows_runs_and_ranks(
    small_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shown("list")) == 0
    assert "Does a model know which way time runs?  (arrow)" in capsys.readouterr().out
    assert main(shown("show")) == 0
    small = ["data=folder", f"data.root={small_data}", "data.size=[32,32]", "num_workers=0"]
    words = [word for word in shown("run") if not word.startswith("data=")]
    assert main([*words, *small, "device=cpu"]) == 0
    found = {r.body.adapter.name: r.body for _, r in records.read_all(Path("out/records"))}
    scores = {name: body.headline.value for name, body in found.items() if body.headline}
    assert scores == {"copy_last": 0.5, "context_mean": 0.5, "real_future": 1.0}
    assert main(shown("leaderboard")) == 0
    (section,) = leaderboard.build(Path("out/records")).sections
    skills = {row.adapter: row.cells[0].skill for row in section.rows}
    assert skills == {"copy_last": 0.0, "context_mean": 0.0, "real_future": 1.0}
    assert main(shown("compare")) == 0
    assert "A is better" in capsys.readouterr().out


def test_rows_do_not_depend_on_the_batch_and_records_verify(
    small_data: Path,
) -> None:
    words = ["run", "adapter=linear_flow", "suite=arrow", "data=folder", f"data.root={small_data}"]
    words += ["data.size=[32,32]", "num_workers=0", "device=cpu", "limit=4"]
    bodies = []
    for size in (1, 4):
        folder = Path(f"records{size}")
        assert main([*words, f"batch_size={size}", f"records={folder}"]) == 0
        ((path, record),) = records.read_all(folder)
        bodies.append(record.body)
    assert bodies[0] == bodies[1]
    assert main(["verify", str(path)]) == 0


def test_clips_that_are_too_short_are_refused(
    small_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "adapter=copy_last", "suite=arrow", "data=folder", f"data.root={small_data}"]
    assert main([*words, "data.frames=8", "num_workers=0", "device=cpu", "records=out"]) == 2
    assert "clips are too short" in capsys.readouterr().err
