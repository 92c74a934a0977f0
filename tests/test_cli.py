import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from worldbench import __version__, cli, data_commands
from worldbench.compose import compose
from worldbench.data.worlds.sets import SETS

CONF = Path(__file__).parents[1] / "conf"
MODELS_CONF = CONF.parent / "models" / "worldbench_models" / "conf"
HEAVY = ("torch", "hydra", "wandb", "cv2", "numpy", "pyarrow", "scipy", "av")

Said = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("clean_process")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a distribution on the path: its metadata, entry points and a package with an adapter."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def install(
        name: str, version: str = "9.9", conf: str | None = None, adapter: str = "ghost"
    ) -> Path:
        folder = site / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        if conf is not None:
            (folder / "entry_points.txt").write_text(f"[worldbench.conf]\n{name} = {conf}\n")
            package = site / name
            (package / "conf" / "adapter").mkdir(parents=True)
            (package / "__init__.py").write_text("raise RuntimeError('imported in vain')\n")
            write_adapter(package / "conf", adapter)
        return site

    return install


@pytest.fixture
def worlds_by_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One simulated set of two clips, labelled by what happens, instead of all others."""
    from worldbench.data.worlds import plans, sets

    plan = plans.LabelledPlan("by_hand", "few", "motion", {"test": 1})
    few = dict(list(plans._classes("motion").items())[:2])
    monkeypatch.setattr(plans, "_classes", lambda label: few)
    monkeypatch.setattr(sets, "SETS", {"by_hand": plan})
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "cache"))


def write_adapter(folder: Path, name: str, **options: object) -> Path:
    path = folder / "adapter" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    target = "worldbench.adapters.still.CopyLast"
    header = {"name": name, "summary": "a copy", "family": "baseline", "_target_": target}
    path.write_text(yaml.safe_dump({**header, **options}))
    return path


def fails(said: Said, code: int, *words: str) -> str:
    """Runs a command that must fail with this code, and returns what it said."""
    assert cli.main(words) == code
    out = said.readouterr()
    assert out.out == ""
    assert "Traceback" not in out.err
    return out.err


# --- what stays fast ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["list"],
        ["show", "copy_last"],
        ["show", "dit"],
        ["run", "--help"],
        ["train", "--help"],
        ["data", "--help"],
    ],
)
def test_answers_about_names_import_nothing_heavy(words: list[str]) -> None:
    code = (
        f"import sys; from worldbench.cli import main; main({words!r})\n"
        f"print('heavy:', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


# --- what is frozen -------------------------------------------------------------------------------


def test_commands_are_frozen() -> None:
    """A command that goes or changes its name breaks scripts: change this test on purpose only."""
    assert list(cli.COMMANDS) == [
        *("run", "train", "check", "list", "show", "data", "leaderboard", "compare"),
        *("gate", "verify", "validate", "diff", "dashboard", "distance"),
    ]


def test_actions_of_data_are_frozen() -> None:
    assert list(data_commands.ACTIONS) == [
        *("list", "build", "preview", "export", "features", "contexts")
    ]


def primary(command: str) -> tuple[dict[str, object], dict[str, object]]:
    """Groups and options of a command, each with its default."""
    options = yaml.safe_load((CONF / f"{command}.yaml").read_text())
    groups = [
        next(iter(d.items()))
        for d in options.pop("defaults")
        if isinstance(d, dict) and "override" not in next(iter(d))
    ]
    del options["hydra"]
    return dict(groups), options


def test_options_of_a_run_are_frozen() -> None:
    """The same for options, their defaults and the groups they stand beside."""
    groups, options = primary("run")
    assert groups == {
        "adapter": "???",
        "suite": "video_distance",
        "data": "worlds",
        "tracker": "none",
        "experiment": None,
    }
    assert options == {
        "device": "auto",
        "precision": "fp32",
        "batch_size": 16,
        "num_workers": 2,
        "seed": 0,
        "limit": None,
        "dry_run": False,
        "overwrite": False,
        "records": "reports/records",
    }


def test_options_of_a_training_are_frozen() -> None:
    groups, options = primary("train")
    assert groups == {"model": "???", "tracker": "none"}
    assert options == {
        "size": "s",
        "device": "auto",
        "precision": "auto",
        "compile": "auto",
        "steps": None,
        "batch_size": None,
        "clips": 120000,
        "heldout_clips": 256,
        "clips_folder": None,
        "seed": 0,
        "workers": None,
        "out": "runs/${model.name}-${size}-${seed}",
        "overwrite": False,
        "log_every": 50,
        "heldout_every": 2000,
        "checkpoint_every": 1000,
        "keep_weights": False,
    }


def test_names_that_come_with_the_package_are_frozen(capsys: Said) -> None:
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed: dict[str, list[str]] = {}
    group = ""
    for line in lines:
        if line.startswith("  "):
            listed[group].append(line.split()[0])
        else:
            group = line.rstrip("=")
            listed[group] = []
    assert set(listed["tracker"]) == {"none", "wandb"}
    assert {"copy_last", "context_mean", "linear_flow", "real_future", "video_folder"} <= set(
        listed["adapter"]
    )
    assert set(listed["suite"]) == {
        *("consistency3d", "intphys", "intphys2", "permanence", "video_distance"),
        *("fvd", "jedi", "probe", "cost"),
    }
    assert "dit" in listed["model"]
    layouts = {"folder", "class_folders", "kinetics", "path_label", "ssv2", "intphys", "intphys2"}
    layouts |= {"realestate10k", "imagenet", "ucf101", "hmdb51", "worlds_unseen"}
    assert set(listed["data"]) == layouts | set(SETS)


# --- answers --------------------------------------------------------------------------------------


def test_help_shows_every_command_and_exit_code(capsys: Said) -> None:
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {command} " in said for command in cli.COMMANDS)
    assert all(f"    {code} " in said for code in (0, 1, 2, 3, 4, 130))


def test_no_command_at_all_is_a_usage_error_that_helps(capsys: Said) -> None:
    assert cli.main([]) == 2
    assert "usage: worldbench COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_has_help(command: str, capsys: Said) -> None:
    try:
        code = cli.main([command, "--help"])
    except SystemExit as exit:  # argparse
        code = exit.code
    assert code == 0
    assert f"usage: worldbench {command}" in capsys.readouterr().out


def test_help_of_data_shows_every_action(capsys: Said) -> None:
    assert cli.main(["data", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {action} " in said for action in data_commands.ACTIONS)
    assert cli.main(["data"]) == 2


@pytest.mark.parametrize("action", sorted(data_commands.ACTIONS))
def test_every_action_of_data_has_help(action: str, capsys: Said) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main(["data", action, "--help"])
    assert exit.value.code == 0
    assert f"usage: worldbench data {action}" in capsys.readouterr().out


def test_help_of_run_shows_every_option_with_its_comment(capsys: Said) -> None:
    assert cli.main(["run", "--help"]) == 0
    said = capsys.readouterr().out
    assert "batch_size: 16        # trials at once" in said
    assert "hydra:" not in said


def test_help_of_train_shows_its_own_options(capsys: Said) -> None:
    assert cli.main(["train", "--help"]) == 0
    said = capsys.readouterr().out
    assert "model=NAME [OPTION=VALUE ...]" in said
    assert "clips: 120000           # different training clips" in said
    assert "model.OPTION and tracker.OPTION" in said
    assert "hydra:" not in said


def test_the_version_is_told(capsys: Said) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"worldbench {__version__}\n"


def test_list_can_show_one_kind(capsys: Said) -> None:
    assert cli.main(["list", "adapters"]) == 0
    said = capsys.readouterr().out
    assert "copy_last" in said
    assert "[baseline]" in said
    assert "suite=" not in said


def test_what_comes_with_us_is_listed_without_an_origin(capsys: Said) -> None:
    assert cli.main(["list", "models"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^  dit +\[generative\] .*\.$", said, re.MULTILINE)
    assert "suite" not in said


def test_show_gives_a_model_with_its_options(capsys: Said) -> None:
    assert cli.main(["show", "dit"]) == 0
    said = capsys.readouterr().out
    assert (MODELS_CONF / "model" / "dit.yaml").read_text().rstrip() in said
    assert "# model=dit, from worldbench: " in said
    assert "model.OPTION=VALUE" in said


def test_show_gives_the_file_with_its_options(capsys: Said) -> None:
    assert cli.main(["show", "video_folder"]) == 0
    said = capsys.readouterr().out
    assert (CONF / "adapter" / "video_folder.yaml").read_text().rstrip() in said
    assert "adapter.OPTION=VALUE" in said


def test_data_list_tells_sets_and_families(capsys: Said) -> None:
    assert cli.main(["data", "list"]) == 0
    sets, _, families = capsys.readouterr().out.partition("families")
    assert "permanence_quick" in sets
    assert "worlds_motion" in sets
    assert sets.count("\n  worlds_") == 6
    assert re.search(r"permanence_quick .*\n +(\d+ clips, \d+ quads|not made yet)", sets)
    assert "occluder_pass" in families


@pytest.mark.usefixtures("worlds_by_hand")
def test_a_set_is_built_previewed_and_exported(tmp_path: Path, capsys: Said) -> None:
    assert cli.main(["data", "build", "by_hand", "--size", "16"]) == 0
    assert "2 clips, 0 quads in" in capsys.readouterr().out
    assert cli.main(["data", "preview", "by_hand", "--out", str(tmp_path), "--clips", "1"]) == 0
    shown = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in shown if path.is_file()] == [
        "by_hand-sheet.png",
        "by_hand-wall.mp4",
    ]
    words = ["export", "by_hand", str(tmp_path / "k"), "--layout", "kinetics", "--size", "16"]
    assert cli.main(["data", *words]) == 0
    assert f"2 files written, 0 kept in {tmp_path / 'k'}" in capsys.readouterr().out
    assert len(list((tmp_path / "k").glob("*.mp4"))) == 2
    assert cli.main(["data", "list"]) == 0
    assert "2 clips\n" in capsys.readouterr().out  # simulated, and not built at its own size


def test_a_reader_that_stops_reading_is_no_failure() -> None:
    done = subprocess.run(
        f"{sys.executable} -m worldbench.cli list | head -n 1; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "adapter=\n", "")


# --- wrong words: exit code 2 ---------------------------------------------------------------------


def test_an_unknown_command_names_the_nearest(capsys: Said) -> None:
    said = fails(capsys, 2, "leaderbord")
    assert "unknown command 'leaderbord' (did you mean 'leaderboard'?)" in said
    assert ", ".join(sorted(cli.COMMANDS)) in said


@pytest.mark.parametrize(
    ("word", "near", "other"),
    [
        ("adapter=copy_lst", "copy_last", "linear_flow"),
        ("suite=video_distanse", "video_distance", "video_distance"),
        ("data=kinetic", "kinetics", "ssv2"),
        ("tracker=wandbb", "wandb", "none"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_and_all_others(
    word: str, near: str, other: str, capsys: Said
) -> None:
    group, _, name = word.partition("=")
    words = [word] if group == "adapter" else ["adapter=copy_last", word]
    said = fails(capsys, 2, "run", *words)
    assert f"unknown {group} {name!r} (did you mean {near!r}?)" in said
    assert other in said.partition("accepted:")[2]


@pytest.mark.parametrize(
    ("words", "accepted", "fix"),
    [
        (["run", "model=dit"], "adapter=NAME, data=NAME, suite=NAME", "worldbench train model=dit"),
        (
            ["check", "model=dit"],
            "adapter=NAME, data=NAME, suite=NAME",
            "worldbench train model=dit",
        ),
        (["train", "adapter=dit"], "model=NAME, tracker=NAME", "worldbench run adapter=dit"),
        (["train", "data=ssv2"], "model=NAME, tracker=NAME", "run data=ssv2"),
    ],
)
def test_what_is_chosen_for_another_command_is_told(
    words: list[str], accepted: str, fix: str, capsys: Said
) -> None:
    said = fails(capsys, 2, *words)
    assert f"there is no {words[-1].partition('=')[0]} to choose here" in said
    assert accepted in said.partition("accepted:")[2]
    assert fix in said.partition("fix:")[2]


def test_names_of_worlds_are_told_with_the_nearest(tmp_path: Path, capsys: Said) -> None:
    assert "unknown action of data 'biuld' (did you mean 'build'?)" in fails(
        capsys, 2, "data", "biuld"
    )
    said = fails(capsys, 2, "data", "build", "permanence_quik")
    assert "unknown set of worlds 'permanence_quik' (did you mean 'permanence_quick'?)" in said
    assert "did you mean 'collide'?" in fails(capsys, 2, "data", "preview", "colide")
    words = ["export", "worlds_motion_quik", str(tmp_path), "--layout", "ssv2"]
    assert "did you mean 'worlds_motion_quick'?" in fails(capsys, 2, "data", *words)


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_name_like_no_other_still_gets_the_list(command: str, capsys: Said) -> None:
    said = fails(capsys, 2, command, "adapter=zzz")
    assert "did you mean" not in said
    assert "context_mean, copy_last, diffusers, dit, dit_random, jepa, jepa_random" in said


def test_show_and_list_know_their_names(capsys: Said) -> None:
    assert "did you mean 'copy_last'?" in fails(capsys, 2, "show", "copylast")
    assert "did you mean 'adapters'?" in fails(capsys, 2, "list", "adaptors")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("batchsize=4", "unknown override 'batchsize' (did you mean 'batch_size'?)"),
        ("suite.horizont=4", "unknown override 'suite.horizont'"),
        ("batch_size=0", "batch_size is not a usable number"),
        ("batch_size=many", "batch_size is not a usable number"),
        ("limit=1", "limit is not a usable number"),
        ("seed=-1", "seed is not a usable number"),
        ("precision=fp8", "no such precision"),
        ("device=gpu", "cannot use device 'gpu'"),
        ("suite.horizon=1", "suite.horizon is too small"),
        ("adapter.name=a b", "adapter 'a b' cannot be made"),
        ("adapter.name=../up", "adapter '../up' cannot be made"),
        ("data.fps=0", "needs data.root"),
        ("just_a_word", "missing EQUAL"),
        ("overwrite=flase", "overwrite is neither true nor false"),
        ("dry_run=flase", "dry_run is neither true nor false"),
        ("data.max_excluded=2", "data.max_excluded is no share"),
        ("~seed", "the option 'seed' was taken away, which is not possible"),
    ],
)
def test_a_wrong_option_is_a_usage_error_and_leaves_no_record(
    word: str, said: str, tmp_path: Path, capsys: Said
) -> None:
    words = ["adapter=copy_last", "data=folder", word, f"records={tmp_path / 'records'}"]
    if word != "data.fps=0":
        words.append(f"data.root={tmp_path}")
    assert cli.main(["run", *words]) == 2
    err = capsys.readouterr().err
    assert "error: " in err
    assert said.partition(" ")[2] in err or said in err
    assert "  fix:" in err
    assert not (tmp_path / "records").exists()


def test_a_run_without_a_records_folder_is_a_usage_error(capsys: Said) -> None:
    assert cli.main(["run", "adapter=copy_last", "records=null"]) == 2
    assert "records names no folder" in capsys.readouterr().err


def test_a_missing_option_is_named(capsys: Said) -> None:
    said = fails(capsys, 2, "run", "adapter=copy_last", "data=folder", "dry_run=true")
    assert "data 'folder' needs data.root" in said
    assert "worldbench show folder" in said


def test_a_run_without_an_adapter_says_so(capsys: Said) -> None:
    assert "adapter" in fails(capsys, 2, "run")


def test_a_config_dir_that_does_not_exist_is_named(capsys: Said) -> None:
    said = fails(capsys, 2, "list", "--config-dir", "nowhere")
    assert "no such --config-dir" in said
    assert "nowhere" in said


@pytest.mark.parametrize("name", ["p (x)", "a,b=c", "it's [here]"])
def test_a_config_dir_may_be_called_anything(name: str, tmp_path: Path) -> None:
    write_adapter(tmp_path / name, "mine")
    assert compose(["adapter=mine"], str(tmp_path / name)).adapter.name == "mine"


def test_flags_may_stand_anywhere(tmp_path: Path, capsys: Said) -> None:
    conf = tmp_path / "conf"
    write_adapter(conf, "mine")
    words = ["run", "adapter=mine", "--config-dir", str(conf), "--cfg", "job", "seed=3"]
    assert cli.main(words) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["adapter"]["name"], shown["seed"]) == ("mine", 3)


# --- the other codes ------------------------------------------------------------------------------


def test_a_folder_without_videos_is_exit_code_3(tmp_path: Path) -> None:
    # In another process: until Python 3.12 these tests' type checks run into the error themselves.
    words = ["contexts", "data=folder", f"data.root={tmp_path}", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "worldbench.cli", "data", *words], capture_output=True, text=True
    )
    assert done.returncode == 3
    assert done.stderr.startswith("error: no videos in the folder")


@pytest.mark.parametrize("records", ["file/below", "/proc/worldbench"])
def test_a_folder_that_cannot_be_written_is_exit_code_4(
    records: str, small_data: Path, small_train: Path, tmp_path: Path, capsys: Said
) -> None:
    (tmp_path / "file").write_text("in the way")
    words = ["adapter=copy_last", "data=folder", f"data.root={small_data}", "data.size=[64,64]"]
    words += [f"data.train={{root: {small_train}}}", "suite.components=2", "num_workers=0"]
    assert cli.main(["run", *words, "device=cpu", f"records={records}"]) == 4
    err = capsys.readouterr().err
    assert "error: cannot write " + records in err
    assert "records=DIR" in err


def test_a_sweep_whose_folder_cannot_be_written_is_exit_code_4(capsys: Said) -> None:
    words = ["run", "-m", "adapter=copy_last", "hydra.sweep.dir=/proc/worldbench"]
    said = fails(capsys, 4, *words)
    assert "cannot write the folder of the sweep" in said
    assert "/proc/worldbench" in said
    assert "hydra.sweep.dir=DIR" in said


def test_another_worldbench_is_refused(install: Callable[..., Path], capsys: Said) -> None:
    install("worldbench", "9.9")
    said = fails(capsys, 4, "list")
    assert "another project called 'worldbench'" in said
    assert "worldbench 9.9" in said
    assert "pip uninstall -y worldbench" in said


def test_a_board_without_records_is_exit_code_2(tmp_path: Path, capsys: Said) -> None:
    said = fails(capsys, 2, "leaderboard", "--records", str(tmp_path / "none"))
    assert "worldbench run" in said


def test_a_record_that_does_not_read_is_exit_code_1(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "record.json").write_text(json.dumps({"schema": 99}))
    said = fails(capsys, 1, "verify", str(tmp_path / "record.json"))
    assert "unknown schema version" in said


def test_an_interrupt_is_exit_code_130(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    def interrupt(_: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_list", interrupt)
    assert "the same command resumes" in fails(capsys, 130, "list")


# --- configurations of others ---------------------------------------------------------------------


def test_an_installed_package_is_listed_with_its_origin_and_not_imported(
    install: Callable[..., Path], capsys: Said
) -> None:
    install("ghosts", conf="ghosts.conf")
    assert cli.main(["list", "adapters"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "ghost" in line)
    assert line.endswith("a copy  (ghosts)")
    assert "ghosts" not in sys.modules


def test_an_adapter_of_an_installed_package_composes(install: Callable[..., Path]) -> None:
    install("ghosts", conf="ghosts.conf")
    config = compose(["adapter=ghost"])
    assert config.adapter.summary == "a copy"


def test_an_entry_point_to_nowhere_names_the_package(
    install: Callable[..., Path], capsys: Said
) -> None:
    install("ghosts", conf="ghosts.config")
    said = fails(capsys, 2, "list")
    assert "'ghosts'" in said
    assert "ghosts.config" in said


@pytest.mark.parametrize("command", [["list"], ["run", "adapter=copy_last"]])
def test_two_adapters_of_one_name_are_refused_with_both_files(
    command: list[str], tmp_path: Path, capsys: Said
) -> None:
    mine = write_adapter(tmp_path / "conf", "copy_last")
    said = fails(capsys, 2, *command, "--config-dir", str(tmp_path / "conf"))
    assert "two adapters are called 'copy_last'" in said
    assert str(mine) in said
    assert str(CONF / "adapter" / "copy_last.yaml") in said


def test_two_packages_with_one_name_are_refused_with_both_files(
    install: Callable[..., Path], capsys: Said
) -> None:
    site = install("ghosts", conf="ghosts.conf")
    install("spirits", conf="spirits.conf")
    said = fails(capsys, 2, "list")
    for package in ("ghosts", "spirits"):
        assert f"{site / package / 'conf' / 'adapter' / 'ghost.yaml'} ({package})" in said


@pytest.mark.parametrize("target", ["no_such_package.Model", "no_such_package..Model"])
def test_a_target_that_does_not_exist_is_a_usage_error(
    target: str, tmp_path: Path, capsys: Said
) -> None:
    write_adapter(tmp_path / "conf", "mine", _target_=target)
    said = fails(capsys, 2, "check", "adapter=mine", "--config-dir", str(tmp_path / "conf"))
    assert "no_such_package" in said
    assert "not installed" in said


def test_an_option_that_the_target_does_not_take_is_a_usage_error(
    tmp_path: Path, capsys: Said
) -> None:
    write_adapter(tmp_path / "conf", "mine", weights="w.pt")
    said = fails(capsys, 2, "check", "adapter=mine", "--config-dir", str(tmp_path / "conf"))
    assert "does not take these options" in said
    assert "weights" in said
