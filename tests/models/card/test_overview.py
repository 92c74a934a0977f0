from pathlib import Path

import pytest
from card_runs import SUMMARY, write_jepa, write_run

from worldbench.errors import DataError
from worldbench_models.card.overview import ARMS, CARDS, SCHOOLS, SEEDS, main, overview
from worldbench_models.card.run import read_finished


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    """A folder with every run of the overview, tiny."""
    write_run(tmp_path / SCHOOLS[0], model="dit", size="s", weights_sha256="1" * 64)
    write_jepa(tmp_path / SCHOOLS[1], size="s", weights_sha256="2" * 64)
    for model, names in zip(("dit", "jepa"), SEEDS, strict=True):
        for seed, name in enumerate(names):
            settings = {**SUMMARY["settings"], "seed": seed}  # type: ignore[dict-item]
            write_run(tmp_path / name, model=model, settings=settings)
    settings = {**SUMMARY["settings"], "model": {"collapse": "sigreg"}}  # type: ignore[dict-item]
    write_run(tmp_path / ARMS[1], settings=settings)
    return tmp_path


def test_the_overview_has_schools_arms_and_seeds(cards: Path) -> None:
    text = overview(cards)
    heads = [line for line in text.splitlines() if line.startswith("| what")]
    assert [head.split(" | ")[1:3] for head in heads] == [
        ["dit-s", "jepa-s"],
        ["jepa-xs, collapse ema", "jepa-xs, collapse sigreg"],
        ["dit-xs, seed 0", "dit-xs, seed 1"],
        ["jepa-xs, seed 0", "jepa-xs, seed 1"],
    ]
    assert [("ratio" in head, "of 3 seeds" in head) for head in heads] == [
        *[(True, False)] * 2,
        *[(False, True)] * 2,
    ]
    schools, _, arms = text.partition("## Against collapse")
    assert "held-out" not in schools
    assert "held-out: RankMe" in arms


def test_the_command_writes_the_overview_beside_the_runs(
    cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--cards", str(cards)]) == 0
    first = (cards / "README.md").read_bytes()
    assert first == overview(cards).encode()
    (cards / SEEDS[0][1] / "summary.json").unlink()
    assert main(["--cards", str(cards)]) == DataError.exit_code
    assert SEEDS[0][1] in capsys.readouterr().err
    assert (cards / "README.md").read_bytes() == first


def test_the_overview_that_lies_here_is_what_its_runs_give() -> None:
    assert (CARDS / "README.md").read_text(encoding="utf-8") == overview()


@pytest.mark.parametrize("name", [*SCHOOLS, *ARMS, *SEEDS[0], *SEEDS[1]])
def test_the_runs_that_lie_here_are_those_they_are_named_after(name: str) -> None:
    run = read_finished(CARDS / name)
    folder = name.removesuffix("/run").rpartition("/")[2].replace("-sigreg", "")
    model = run.summary["settings"].get("model", {})
    assert model.get("collapse") == {"jepa": "sigreg" if "sigreg" in name else "ema"}.get(
        run.summary["model"]
    )
    seed = "" if name.endswith("/run") else f"-{run.summary['settings']['seed']}"
    assert f"{run.name}{seed}" == folder
    assert run.summary["steps"] == run.training[-1]["step"] == run.heldout[-1]["step"]
    assert run.summary["final"] == run.heldout[-1]


def test_schools_and_arms_are_matched_in_parameters_and_training() -> None:
    for pair in (SCHOOLS, ARMS):
        one, other = (read_finished(CARDS / name).summary for name in pair)
        for name in ("parameters", "training_flops"):
            assert other[name] == pytest.approx(one[name], rel=0.1), (pair, name)
        assert one["data"]["digest"] == other["data"]["digest"]
