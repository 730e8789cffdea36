"""What the README shows works, and no flag goes untried."""

import json
import re
import shlex
from pathlib import Path

import pytest

import populations.__main__ as cli
from cgp.features import FeatureNetwork
from cgp.network import Network
from harness import ROOT, TINY, make_images, populations, program
from populations.setup.config import parse
from populations.setup.flags import FLAGS
from test_finetune import grey_images

TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)  # (language, lines)
COMMANDS = [
    line.removeprefix(".venv/bin/")
    for _, block in BLOCKS
    for line in block.splitlines()
    if line.startswith(("python ", ".venv/bin/python "))
]
ON_RUNS = (
    *("list", "show", "best", "lineage", "compare", "explain", "draw", "report", "plot"),
    *("replay", "confirm", "measure", "finetune", "predict", "export", "import", "tensorboard", "mlflow"),
)
SEARCHES = [shlex.split(line)[2:] for line in COMMANDS if line.startswith("python evolve.py")]
ON_A_RUN = [line for line in COMMANDS if "runs/digits-1" in line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny run called runs/digits-1."""
    cwd = tmp_path_factory.mktemp("readme")
    done = program(*TINY, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert (cwd / "runs" / "digits-1").is_dir()
    grey_images(cwd / "photos")
    return cwd


def test_the_readme_has_commands() -> None:
    assert len(SEARCHES) >= 7
    assert len(ON_A_RUN) >= 8


@pytest.mark.parametrize("line", list(dict.fromkeys(ON_A_RUN)))
def test_commands_on_a_run(line: str, folder: Path) -> None:
    words = shlex.split(line)
    done = program(*words[2:], cwd=folder) if words[1] == "evolve.py" else populations(*words[3:], cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments", [words for words in SEARCHES if "--resume" not in words and "--config" not in words]
)
def test_searches_are_understood(arguments: list[str]) -> None:
    assert parse(arguments).evolution.population == 8


def test_the_example_configuration_is_drawn_and_forecast() -> None:
    (words,) = [words for words in SEARCHES if "--config" in words]
    done = program(*words, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "40 networks, about" in done.stdout


def test_python_block_rebuilds_the_best_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    for language, block in BLOCKS:
        if language == "python":
            exec(block, names)
    assert isinstance(names["network"], Network)
    assert names["network"].num_classes == 10
    assert isinstance(names["pyramid"], FeatureNetwork)


def test_every_flag_takes_effect(tmp_path: Path) -> None:
    """A run with a value other than the default for every flag records just these."""
    values = {
        "num_min_depth": 1, "num_max_depth": 3, "function_set": "conv_4_3,conv_6_3,maxpool", "levels_back": 3,
        "head": "flatten", "max_params": 5000, "max_flops": 500000, "strategy": "one-plus-lambda", "population": 2,
        "offspring": 1, "generations": 2, "mutation_rate": 0.2, "objectives": "val_accuracy,flops,seconds",
        "re_evaluate": True, "seed": 5, "data_dir": str(tmp_path), "train_size": 60, "val_size": "20",
        "image_size": 8,
        "recipe": "retrain", "epochs": 2, "batch_size": 16, "optimizer": "adamw", "lr": 0.002, "schedule": "cosine",
        "weight_decay": 0.01, "label_smoothing": 0.05, "init": "orthogonal", "patience": 1,
        "precision": "fp32", "augment": False, "devices": "cpu", "workers": 1, "timeout": 100.0, "run": "mine",
        "keep": "best", "dataset": f"folder:{tmp_path / 'images'}", "racing": False,
    }  # fmt: skip
    # These exclude some of the above, or need a GPU or the net; test_probe.py, test_tricks.py, test_step.py,
    # test_train.py, test_asked.py, test_confirmation.py, test_finetune.py, test_data.py, test_dask.py,
    # test_serial.py and test_grid.py try them.
    unset = {
        "download": False, "workers_per_device": None, "inherit": False, "deterministic": False, "rungs": None,
        "cuda_graphs": False, "family": None, "momentum": 0.9, "executor": "local", "scheduler": None, "wait": 60.0,
        "confirm": 0, "weights": None, "mode": "finetune", "backbone_rate": 0.1, "train_norm": False,
        "keep_head": False, "wiring": "sequential", "rows": 5, "columns": None,
    }  # fmt: skip
    assert set(values | unset) == FLAGS.keys()
    make_images(tmp_path / "images")
    spelled = [
        f"--{'no-' if value is False else ''}{name}" + ("" if isinstance(value, bool) else f"={value}")
        for name, value in values.items()
    ]
    done = program(*spelled, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert len(config.pop("data_fingerprint")) == 64
    assert config == values | unset


def test_every_command_of_populations_is_in_the_readme() -> None:
    for command in ON_RUNS:
        assert f"python -m populations {command}" in TEXT
        assert re.search(rf"^    {command}\s", cli.parser().format_help(), re.MULTILINE)
