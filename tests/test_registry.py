from pathlib import Path

import pytest

from worldbench import registry
from worldbench.compose import compose
from worldbench.errors import UsageError

CONF = Path(__file__).parents[1] / "conf"
SHIPPED = (CONF, CONF.parent / "models" / "worldbench_models" / "conf")


def write(folder: Path, name: str, text: str, group: str = "adapter") -> Path:
    path = folder / group / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("group", registry.GROUPS)
def test_every_file_that_is_shipped_is_an_entry(group: str) -> None:
    found = registry.entries(group)
    assert {entry.path for entry in found.values()} == {
        path for folder in SHIPPED for path in (folder / group).glob("*.yaml")
    }
    assert list(found) == sorted(found)
    assert all(entry.origin == "worldbench" for entry in found.values())
    assert all(entry.summary and "\n" not in entry.summary for entry in found.values())


@pytest.mark.parametrize("group", ["adapter", "model"])
def test_everything_that_is_shipped_with_a_school_says_it(group: str) -> None:
    families = {"baseline", "generative", "predictive", "replay", "oracle"}
    shipped = {entry.family for entry in registry.entries(group).values()}
    assert shipped
    assert shipped <= families


@pytest.mark.parametrize("group", ["adapter", "model"])
def test_a_school_that_does_not_exist_is_named(group: str, tmp_path: Path) -> None:
    write(tmp_path, "mine", "name: mine\nsummary: my model\nfamily: generativ\n", group)
    with pytest.raises(UsageError, match="names no family that exists") as caught:
        registry.entries(group, str(tmp_path))
    assert "generativ" in str(caught.value.seen)
    assert "generative" in str(caught.value.accepted)


def test_a_folder_of_ones_own_adds_entries(tmp_path: Path) -> None:
    path = write(tmp_path, "mine", "name: mine\nsummary: my model\nfamily: predictive\n")
    entry = registry.entries("adapter", str(tmp_path))["mine"]
    assert entry == registry.Entry("adapter", "mine", "my model", "predictive", path, str(tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("summary: my model\n", "no proper header"),
        ("name: other\nsummary: my model\n", "no proper header"),
        ("name: mine\n", "no proper header"),
        ("name: mine\nsummary: 3\n", "no proper header"),
        ("- name: mine\n", "not a mapping"),
        ("", "not a mapping"),
        ("name: [mine\n", "cannot read configuration"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, "mine", text)
    with pytest.raises(UsageError, match=said) as caught:
        registry.entries("adapter", str(tmp_path))
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "mine", "")
    path.write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(UsageError, match="cannot read configuration") as caught:
        registry.entries("adapter", str(tmp_path))
    assert str(path) in str(caught.value)


def test_required_names_come_in_the_order_asked() -> None:
    found = registry.require("adapter", ["linear_flow", "copy_last"])
    assert [entry.name for entry in found] == ["linear_flow", "copy_last"]


def test_the_first_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown adapter 'linear_flo'") as caught:
        registry.require("adapter", ["copy_last", "linear_flo", "context_maen"])
    assert "did you mean 'linear_flow'?" in str(caught.value)
    assert "copy_last" in str(caught.value.accepted)


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_composes(path: Path) -> None:
    config = compose([f"experiment={path.stem}", "adapter=copy_last"])
    assert config.suite.name in registry.entries("suite")
