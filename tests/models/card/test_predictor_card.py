import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from card_runs import HELDOUT, write_jepa, write_run

from worldbench_models.card.__main__ import write_card
from worldbench_models.card.curves import curves
from worldbench_models.card.run import read_finished
from worldbench_models.card.words import WORDS, words_of

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def card(tmp_path: Path) -> str:
    run = write_jepa(tmp_path / "run")
    return (write_card(run, tmp_path / "out") / "README.md").read_text()


def _section(card: str, heading: str) -> str:
    return card.partition(f"\n{heading}\n")[2].partition("\n#")[0]


def _row(section: str, *begin: str) -> list[str]:
    rows = [line.strip("| ").split(" | ") for line in section.splitlines()]
    return next(row for row in rows if row[: len(begin)] == list(begin))


def test_a_predictor_has_a_card_without_a_sheet(tmp_path: Path) -> None:
    out = write_card(write_jepa(tmp_path / "run"), tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "curves.svg"]
    text = (out / "README.md").read_text()
    assert "sheet.jpg" not in text
    assert "## Rollouts" not in text


def test_the_card_says_how_to_ask_a_predictor(card: str) -> None:
    use = _section(card, "## Use")
    path = "adapter.weights=runs/jepa-xs-0/jepa-xs.safetensors"
    assert f"worldbench check adapter=jepa {path}\n" in use
    assert f"worldbench run adapter=jepa {path} suite=video_distance\n" in use
    assert "adapter.encode(" in use
    assert "adapter.predict(" in use
    assert "It paints no pixels" in _section(card, "## Limits")


def test_foresight_is_told_by_baseline_and_context_with_intervals(card: str) -> None:
    section = _section(card, "### Foresight")
    assert _row(section, "skill against")[1:] == [
        "context of 4 frames [95 %]",
        "context of 8 frames [95 %]",
    ]
    mean = _row(section, "the one mean of all latents")
    assert mean[1:] == ["0.612 [0.600, 0.620]", "0.700 [0.690, 0.710]"]
    still = _row(section, "the latents of a future in which the last context frame stands still")
    assert still[1:] == ["0.200 [0.100, 0.300]", "0.250 [0.200, 0.300]"]
    copy = _row(section, "the last context step's latents")
    assert copy[1:] == ["0.314 [0.300, 0.330]", "– (the baseline makes no error)"]
    assert "No context of 12 frames is taken." in section


def test_features_are_told_beside_the_twin_and_pixels(card: str) -> None:
    pooled = _section(card, "### Directions of pooled latents")
    assert _row(pooled, "model")[1:] == ["60.0", "0.123", "1024"]
    assert _row(pooled, "twin")[1:] == ["15.0", "0.045", "1024"]
    read = _section(card, "### Read off the latents")
    assert _row(read, "position", "model")[2:] == ["0.750", "0.700", "0.800", "block3", "0.01, 10"]
    assert _row(read, "position", "mean pixels")[5:] == ["–", "1, 100"]


def test_presence_has_no_noise_levels_where_nothing_is_noised(card: str) -> None:
    section = _section(card, "### Presence")
    assert "noise level" not in section
    assert _row(section, "model", "occluded")[2:] == ["0.975 ± 0.010", "240", "3", "0"]


def test_the_card_warns_of_the_loss_where_it_is_shown(card: str) -> None:
    training = _section(card, "## Training")
    assert training.index("The loss is no monitor") < training.index("(curves.svg)")


def test_curves_show_what_was_watched_of_latents(tmp_path: Path) -> None:
    root = ET.fromstring(curves(read_finished(write_jepa(tmp_path / "run"))))
    texts = [str(element.text) for element in root.iter(f"{SVG}text")]
    titles = [e.text for e in root.iter(f"{SVG}text") if e.attrib.get("class") == "title"]
    assert titles[0] == "Training loss"
    assert [title for title in titles if "skill" in str(title)] == [
        "Prediction skill against a copy, held-out",
        "Prediction skill against each position's median, held-out",
    ]
    assert len(titles) == 1 + 2 + 2 + 1
    for part in ("RankMe", "Std of", "Online probe"):
        assert any(part in str(title) for title in titles), part
    assert [t for t in texts if t.endswith("frames seen")] == [
        *("4 frames seen", "12 frames seen"),
        *("4 frames seen", "12 frames seen"),
    ]
    assert {"position", "velocity"} <= set(texts)


def _heights(svg: str, panel: int) -> list[list[float]]:
    inner = list(ET.fromstring(svg).iter(f"{SVG}g"))
    begins = [g for g in inner if "transform" in g.attrib]
    lines = [g.find(f"{SVG}polyline") for g in begins[panel].iter(f"{SVG}g") if "class" in g.attrib]
    return [
        [float(p.split(",")[1]) for p in e.attrib["points"].split()] for e in lines if e is not None
    ]


def test_each_line_follows_its_own_numbers(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run",
        heldout=[
            {**HELDOUT, "rank_me": rank, "ridge_r2": {"position": 1 - r, "velocity": r}}
            for rank, r in ((10.0, 0.0), (20.0, 0.5), (30.0, 1.0))
        ],
    )
    svg = curves(read_finished(run))
    [rank] = _heights(svg, 1)
    assert rank[0] - rank[1] == pytest.approx(rank[1] - rank[2], abs=0.2)
    assert rank[0] > rank[2]
    position, velocity = _heights(svg, 5)
    assert position == velocity[::-1]
    assert velocity[0] > velocity[2]
    early, late = _heights(svg, 3)
    assert min(late) > max(early)  # below zero, so lowest


def test_what_was_not_watched_is_not_drawn(tmp_path: Path) -> None:
    bare = {name: HELDOUT[name] for name in ("feature_std", "rank_me")}
    run = write_run(tmp_path / "run", heldout=[bare, {**bare, "ridge_r2": {"position": 0.5}}])
    svg = curves(read_finished(run))
    assert "Prediction skill" not in svg
    assert ">position</text>" in svg
    assert ">velocity</text>" not in svg
    assert curves(read_finished(write_run(tmp_path / "none", heldout=[]))).count("<g transf") == 1


@pytest.mark.parametrize("model", WORDS)
def test_every_model_says_how_it_is_loaded(model: str) -> None:
    words = words_of(model, [f"adapter={model}"])
    assert f"worldbench check adapter={model}\n" in words.load
    assert f'compose(["adapter={model}"])' in words.load
    assert "{" not in words.load
