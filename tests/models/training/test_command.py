import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

from worldbench import cli
from worldbench.errors import UsageError, WorldbenchError
from worldbench.tracking import Guarded, NoTracker
from worldbench_models.training.command import Place, device_of
from worldbench_models.training.settings import Settings

pytestmark = pytest.mark.usefixtures("clean_process", "one_process")

Said = pytest.CaptureFixture[str]
Train = Callable[[Any, Settings, Any], Path]

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A folder with one model, whose recipe is the dictionary of its options."""
    folder = tmp_path / "conf"
    header = {"name": "tiny", "summary": "a model", "family": "generative"}
    (folder / "model").mkdir(parents=True)
    text = yaml.safe_dump({**header, "_target_": "builtins.dict", "width": 8})
    (folder / "model" / "tiny.yaml").write_text(text)
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Settings, Any]]:
    """What the training loop was called with; it trains nothing here."""
    seen: list[tuple[Any, Settings, Any]] = []

    def train(recipe: Any, settings: Settings, tracker: Any) -> Path:
        seen.append((recipe, settings, tracker))
        return settings.out / "weights"

    replace_loop(monkeypatch, train)
    return seen


def replace_loop(monkeypatch: pytest.MonkeyPatch, train: Train) -> None:
    loop = ModuleType("worldbench_models.training.loop")
    loop.train = train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, loop.__name__, loop)


def command(conf: Path, *words: str) -> int:
    return cli.main(["train", "model=tiny", "--config-dir", str(conf), "device=cpu", *words])


def test_defaults_on_a_cpu_are_resolved(conf: Path, calls: list[Any]) -> None:
    assert command(conf) == 0
    ((recipe, settings, tracker),) = calls
    assert recipe == {"width": 8}
    assert isinstance(tracker, Guarded)
    assert settings == Settings(
        model="tiny",
        options={"_target_": "builtins.dict", "width": 8},
        size="s",
        device=torch.device("cpu"),
        precision="fp32",
        compile=False,
        steps=None,
        batch_size=None,
        clips=120000,
        heldout_clips=256,
        clips_folder=None,
        seed=0,
        workers=None,
        out=Path("runs/tiny-s-0"),
        overwrite=False,
        log_every=50,
        heldout_every=2000,
        checkpoint_every=1000,
    )


def test_every_option_reaches_the_loop(conf: Path, calls: list[Any], tmp_path: Path) -> None:
    words = ("size=xs", "precision=bf16", "compile=true", "steps=3", "batch_size=4", "clips=5")
    more = ("heldout_clips=6", "seed=7", "workers=8", f"out={tmp_path / 'o'}", "overwrite=true")
    every = ("log_every=9", "heldout_every=10", "checkpoint_every=11", "model.width=12")
    folder = f"clips_folder={tmp_path}"
    assert command(conf, *words, *more, *every, folder) == 0
    ((recipe, settings, _),) = calls
    assert recipe == {"width": 12}
    assert settings == Settings(
        *("tiny", {"_target_": "builtins.dict", "width": 12}, "xs", torch.device("cpu"), "bf16"),
        *(True, 3, 4, 5, 6, tmp_path, 7, 8),
        *(tmp_path / "o", True, 9, 10, 11),
    )


def test_a_sweep_trains_each_seed_in_a_folder_of_its_own(conf: Path, calls: list[Any]) -> None:
    assert command(conf, "-m", "seed=0,1", "size=xs,s") == 0
    found = [(settings.seed, str(settings.out)) for _, settings, _ in calls]
    assert found == [
        *((0, "runs/tiny-xs-0"), (0, "runs/tiny-s-0")),
        *((1, "runs/tiny-xs-1"), (1, "runs/tiny-s-1")),
    ]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("size=xl", "no such size"),
        ("size=3", "no such size"),
        ("precision=fp16", "no such precision"),
        ("device=gpu", "cannot use device 'gpu'"),
        ("compile=maybe", "compile is neither true nor false"),
        ("overwrite=1", "overwrite is neither true nor false"),
        ("steps=0", "steps is not a usable number"),
        ("batch_size=0", "batch_size is not a usable number"),
        ("clips=1.5", "clips is not a usable number"),
        ("heldout_clips=none", "heldout_clips is not a usable number"),
        ("seed=-1", "seed is not a usable number"),
        ("workers=0", "workers is not a usable number"),
        ("log_every=0", "log_every is not a usable number"),
        ("heldout_every=null", "heldout_every is not a usable number"),
        ("checkpoint_every=true", "checkpoint_every is not a usable number"),
        ("model.name=../up", "model '../up' cannot be trained"),
        ("model.depth=3", "unknown override 'model.depth'"),
        ("steps_=3", "unknown override 'steps_' (did you mean 'steps'?)"),
        ("+api_key=abc", "WANDB_API_KEY"),
    ],
)
def test_a_wrong_option_is_a_usage_error_before_anything_is_trained(
    word: str, said: str, conf: Path, calls: list[Any], capsys: Said
) -> None:
    assert command(conf, word) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "  fix:" in err
    assert "Traceback" not in err
    assert not calls


def test_a_model_without_a_loop_to_run_is_an_error_of_the_machine(
    conf: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.setitem(sys.modules, "worldbench_models.training.command", None)
    assert command(conf) == 4
    err = capsys.readouterr().err
    assert "needs a module that is not installed" in err
    assert "worldbench_models" in err


def test_no_model_at_all_says_so(capsys: Said) -> None:
    assert cli.main(["train"]) == 2
    assert "model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (WorldbenchError("the loss is not finite", fix="lower it"), 1, "error: the loss is not"),
        (RuntimeError("no luck"), 1, "error: RuntimeError: no luck"),
        (KeyboardInterrupt(), 130, "the same command resumes"),
    ],
)
def test_a_failed_training_has_an_exit_code_and_a_finished_tracker(
    error: BaseException,
    code: int,
    said: str,
    conf: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Said,
) -> None:
    finished: list[bool] = []
    monkeypatch.setattr(NoTracker, "finish", lambda self, *, failed: finished.append(failed))

    def train(recipe: Any, settings: Settings, tracker: Any) -> Path:
        raise error

    replace_loop(monkeypatch, train)
    assert command(conf) == code
    assert said in capsys.readouterr().err
    assert finished == [True]


def test_the_tracker_is_told_the_run_without_its_secrets(
    conf: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, Any]] = []
    monkeypatch.setattr(NoTracker, "start", lambda self, **told: started.append(told))
    assert command(conf, "+model.hub_token=swordfish", "seed=2", "model.width=3") == 0
    (told,) = started
    assert (told["name"], told["group"]) == ("tiny-s-2", "single")
    assert told["config"]["model"]["width"] == 3
    assert "swordfish" not in str(told)
    assert calls[0][0]["hub_token"] == "swordfish"


def torchrun(monkeypatch: pytest.MonkeyPatch, rank: int, processes: int) -> None:
    for name, value in zip(TORCHRUN, (rank, rank, processes), strict=True):
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize("rank", [0, 1])
def test_only_the_first_of_several_processes_tracks_and_tells(
    rank: int,
    conf: Path,
    calls: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Said,
) -> None:
    torchrun(monkeypatch, rank, 2)
    assert command(conf, "tracker=wandb", "tracker.directory=tracked", "batch_size=4") == 0
    assert len(calls) == 1
    first = rank == 0
    assert ("weights: runs/tiny-s-0/weights" in capsys.readouterr().err) is first
    assert Path("tracked").exists() is first


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("two_gpus")
def test_each_process_takes_the_gpu_of_its_local_rank() -> None:
    assert device_of("auto", Place()) == torch.device("cuda")
    assert device_of("auto", Place(rank=3, local_rank=1, processes=4)) == torch.device("cuda:1")
    with pytest.raises(UsageError, match="more processes than GPUs") as caught:
        device_of("auto", Place(rank=2, local_rank=2, processes=3))
    assert "--nproc-per-node 2" in str(caught.value)


def test_processes_do_not_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "worldbench_models.training.command.choose_device", lambda name: torch.device(name)
    )
    assert device_of("cuda:1", Place()) == torch.device("cuda:1")
    with pytest.raises(UsageError, match="on one GPU"):
        device_of("cuda:1", Place(rank=1, local_rank=1, processes=2))


@pytest.mark.usefixtures("two_gpus")
def test_on_a_gpu_bf16_and_compilation_are_the_default(conf: Path, calls: list[Any]) -> None:
    words = ["train", "model=tiny", "--config-dir", str(conf)]
    assert cli.main(words) == 0
    settings = calls[0][1]
    assert (settings.device.type, settings.precision, settings.compile) == ("cuda", "bf16", True)
