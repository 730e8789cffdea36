"""What the README shows works, and no flag goes untried."""

import json
import re
import shlex
import shutil
from pathlib import Path
from types import ModuleType

import pytest

import populations.__main__ as cli
import studies.__main__ as asking
from cgp.features import FeatureNetwork
from cgp.network import Network
from documents import blocks, commands, flags, is_search, run, small
from harness import ROOT, TINY, make_images, program
from populations.setup.config import parse
from populations.setup.flags import FLAGS
from populations.strategies import strategy_class
from test_data import write_mnist
from test_finetune import grey_images
from test_import import SMALL as SMALL_IMPORTED

README = ROOT / "README.md"
TEXT = README.read_text()
COMMANDS = commands(README)
ON_RUNS = (
    *("list", "show", "best", "lineage", "compare", "explain", "draw", "report", "watch", "plot"),
    *("replay", "confirm", "measure", "finetune", "predict", "export", "import", "tensorboard", "mlflow"),
)
STUDIES = (
    *("spectra", "corruptions", "forgetting", "depth", "features", "limit"),
    *("landscape", "lr-range", "activations"),
)
SEARCHES = [words for words in COMMANDS if is_search(words) and "--resume" not in words]
#: `watch` goes on until it is stopped: test_watch.py stops it.
ON_A_RUN = [
    shlex.join(words) for words in COMMANDS if words not in SEARCHES and words[0] != "make" and "watch" not in words
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny run called runs/digits-1."""
    cwd = tmp_path_factory.mktemp("readme")
    done = program(*TINY, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert (cwd / "runs" / "digits-1").is_dir()
    mlps = ("--family", "residual-mlp", "--mlp-depths", "4,6", "--dataset", "sin:n=60", "--epochs", "6")
    assert program(*mlps, "--run", "runs/limit", cwd=cwd).returncode == 0
    grey_images(cwd / "photos")
    (cwd / "networks.txt").write_text(json.dumps(SMALL_IMPORTED))
    shutil.copy(cwd / "photos" / "left" / "0.png", cwd / "photo.jpg")  # told by what it holds
    write_mnist(cwd / "data", "MNIST")
    return cwd


def test_the_readme_has_commands() -> None:
    assert len(SEARCHES) >= 7
    assert len(ON_A_RUN) >= 8


@pytest.mark.parametrize("line", list(dict.fromkeys(ON_A_RUN)))
def test_commands_on_a_run(line: str, folder: Path) -> None:
    done = run(shlex.split(line), folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [words for words in SEARCHES if "--config" not in words], ids=shlex.join)
def test_searches_search(words: list[str], folder: Path) -> None:
    evolution = parse(flags(words)).evolution
    assert evolution.population == strategy_class(evolution.strategy).usual_population
    if "--family" not in words:  # whose networks are large; test_asked.py trains some
        done = run(small(words), folder)
        assert done.returncode == 0, done.stderr


def test_what_is_made_has_a_test_of_its_own() -> None:
    assert [words for words in COMMANDS if words[0] == "make"] == [["make", "evolve"], ["make", "test"]]


def test_the_example_configuration_is_drawn_and_forecast() -> None:
    (words,) = [words for words in SEARCHES if "--config" in words]
    done = run(words, ROOT)
    assert done.returncode == 0, done.stderr
    assert "56 networks, about" in done.stdout


def test_python_block_rebuilds_the_best_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    for language, block in blocks(README):
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
        "image_size": 8, "norm_epsilon": 1e-3,
        "preprocess": "gcn",
        "recipe": "retrain", "epochs": 2, "batch_size": 16, "optimizer": "adamw", "lr": 0.002, "schedule": "cosine",
        "weight_decay": 0.01, "label_smoothing": 0.05, "init": "orthogonal", "patience": 1, "dropout": 0.1,
        "abandon": 5,
        "precision": "fp32", "augment": False, "devices": "cpu", "workers": 1, "timeout": 100.0, "run": "mine",
        "keep": "best", "keep_epochs": 2, "dataset": f"folder:{tmp_path / 'images'}", "racing": False,
    }  # fmt: skip
    # These exclude some of the above, or need a GPU or the net; test_probe.py, test_tricks.py, test_step.py,
    # test_train.py, test_asked.py, test_confirmation.py, test_finetune.py, test_data.py, test_dask.py,
    # test_serial.py, test_grid.py, test_activations.py, test_sparing.py, test_feature_amounts.py and test_limit.py
    # try them.
    unset = {
        "download": False, "workers_per_device": None, "inherit": False, "deterministic": False, "rungs": None,
        "cuda_graphs": False, "family": None, "momentum": 0.9, "executor": "local", "scheduler": None, "wait": 60.0,
        "confirm": 0, "weights": None, "mode": "finetune", "backbone_rate": 0.1, "train_norm": False,
        "keep_head": False, "rung_score": "smoothed", "wiring": "sequential", "rows": 5, "columns": None,
        "record": "", "ghost_batch": 0, "memory_limit": 0, "checkpoint_activations": False,
        "vgg_depth": 16, "features_total": None, "exact_total": False, "variants": None,
        "mlp_depths": "10,100,1000", "mlp_width": 16, "mlp_block": "skip", "mlp_activation": "tanh",
        "mlp_alpha": 0.75, "mlp_beta": None, "mlp_gamma": 1.0, "mlp_begins": "ntrunc",
        "init_beta": 0.5,
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


@pytest.mark.parametrize(("package", "names"), [(cli, ON_RUNS), (asking, STUDIES)])
def test_every_command_is_in_the_readme(package: ModuleType, names: tuple[str, ...]) -> None:
    for name in names:
        assert f"python -m {package.__package__} {name}" in TEXT
        assert re.search(rf"^    {name}\s", package.parser().format_help(), re.MULTILINE)
