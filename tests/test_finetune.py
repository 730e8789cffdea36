"""`populations finetune`: a trained network trained on, on other images, as a run of its own."""

import contextlib
import io
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

import evolve
import populations.__main__ as cli
from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.layers import Shape
from cgp.network import build
from evaluate.files import BEST, LAST, START
from evaluate.job import Job, Weights, recipe
from evaluate.training.train import make_optimizer
from evaluate.worker import evaluate
from harness import ROOT, Started, assert_same_run, kill_hard, make_images, program, wait_for
from populations import load
from populations.setup.config import parse

PARENT = Graph.chain(["conv_8_3", "maxpool", "res_8_3"], Shape(1, 8, 8), 10)
SERIAL = ("--executor", "serial")
SHORT = ("--epochs", "2", "--dataset", "folder:own", *SERIAL)


def grey_images(folder: Path) -> None:
    """Three class folders of 40 small grey images each, which differ in where they are bright."""
    noise = torch.Generator().manual_seed(0)
    for label, name in enumerate(("left", "middle", "right")):
        (folder / name).mkdir(parents=True)
        for n in range(40):
            pixels = torch.randint(0, 120, (8, 8), generator=noise, dtype=torch.uint8)
            pixels[:, 3 * label : 3 * label + 2] += 100
            Image.fromarray(pixels.numpy()).save(folder / name / f"{n}.png")


@pytest.fixture(scope="module")
def place(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run `r` on digits, grey images `own` and coloured ones `photos`."""
    cwd = tmp_path_factory.mktemp("finetune")
    shutil.copytree(searched, cwd / "r", symlinks=True)
    grey_images(cwd / "own")
    make_images(cwd / "photos")
    return cwd


def asked(*words: str, cwd: Path) -> tuple[int, str, str]:
    """Run a command of `populations` here; return its code, its output and its errors."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = cli.main(words)
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), errors.getvalue()


def done(*words: str, cwd: Path) -> str:
    code, out, errors = asked(*words, cwd=cwd)
    assert code == 0, out + errors
    return out


# -- what stays, what learns


@pytest.fixture
def parent(make_job: Callable[..., Job]) -> Path:
    """The weights of a trained network."""
    job = make_job("parent", graph=PARENT, init="default")
    assert evaluate(job).status == "ok"
    return Path(job.folder) / BEST


def changed(job: Job, before: Path) -> set[str]:
    """Train, and return which tensors have changed; batch normalisation counts its batches, too."""
    result = evaluate(job)
    assert result.status == "ok", result.error
    ours, theirs = load_file(Path(job.folder) / LAST), load_file(before)
    return {name for name, tensor in theirs.items() if not torch.equal(tensor, ours[name])}


def kinds(names: set[str]) -> set[str]:
    """Which kinds of tensors are named: those of the head, convolutions, norms, statistics."""
    norms = [f"{name}." for name, module in build(PARENT).named_modules() if isinstance(module, torch.nn.BatchNorm2d)]

    def kind(name: str) -> str:
        if name.startswith("head."):
            return "head"
        if not any(name.startswith(norm) for norm in norms):
            return "convolution"
        return "norm" if name.endswith(("weight", "bias")) else "statistics"

    return {kind(name) for name in names}


@pytest.mark.parametrize(
    ("frozen", "learns"),
    [
        ("backbone", {"head"}),
        ("norm", {"head", "convolution"}),
        ("nothing", {"head", "convolution", "norm", "statistics"}),
    ],
)
@pytest.mark.parametrize("new_head", [True, False])
def test_what_is_frozen_stays_to_the_bit(
    frozen: Any, learns: set[str], new_head: bool, parent: Path, make_job: Callable[..., Job]
) -> None:
    job = make_job("child", graph=PARENT, seed=2)
    start = Weights(str(parent), frozen, new_head, 0.1)
    assert kinds(changed(replace(job, task=replace(job.train, start=start)), parent)) == learns


def test_a_new_head_is_drawn_and_a_kept_one_goes_on(parent: Path, make_job: Callable[..., Job]) -> None:
    def head(name: str, new_head: bool) -> tuple[Tensor, float | None]:
        job = make_job(name, graph=PARENT, lr=1e-9)
        result = evaluate(replace(job, task=replace(job.train, start=Weights(str(parent), "norm", new_head, 1.0))))
        return load_file(Path(job.folder) / BEST)["head.weight"], result.scratch_share

    theirs = load_file(parent)["head.weight"]
    fresh, share = head("fresh", True)
    kept, none = head("kept", False)
    assert torch.allclose(kept, theirs, atol=1e-6)
    assert not torch.allclose(fresh, theirs, atol=1e-2)
    assert (share, none) == (90 / sum(p.numel() for p in build(PARENT).parameters()), 0)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "sgdr", "step", "constant"])
def test_the_backbone_learns_at_its_share_of_the_rate(
    schedule: str, parent: Path, make_job: Callable[..., Job]
) -> None:
    job = make_job("child", graph=PARENT, schedule=schedule, epochs=2)
    start = Weights(str(parent), "norm", True, 0.25)
    result = evaluate(replace(job, task=replace(job.train, start=start)))
    plain = evaluate(make_job("plain", graph=PARENT, schedule=schedule, epochs=2))
    assert [row["lr"] for row in result.curve] == [row["lr"] for row in plain.curve]  # the head's
    network = build(PARENT)
    groups = make_optimizer(network, recipe("fast", lr=0.8), 0.25).param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert {name: rates[id(p)] for name, p in network.named_parameters()} == {
        name: 0.8 if name.startswith("head.") else 0.2 for name, _ in network.named_parameters()
    }


def test_weights_of_another_network_are_named(parent: Path, make_job: Callable[..., Job]) -> None:
    job = make_job("child", graph=Graph.chain(["conv_4_3", "maxpool"], Shape(1, 8, 8), 10))
    result = evaluate(replace(job, task=replace(job.train, start=Weights(str(parent), "norm", True, 1.0))))
    assert result.status == "failed"
    assert f"{parent}: nodes.0.body.0.weight is of shape (8, 1, 3, 3); expected (4, 1, 3, 3)" in str(result.error)


# -- a run of its own


def test_it_outlives_the_run_that_it_comes_from(place: Path) -> None:
    shutil.copytree(place / "r", place / "old", symlinks=True)
    out = done("finetune", "old", "best", *SHORT, "--mode", "probe", "--run", "ft", cwd=place)
    assert "best: ft/best -> models/" in out
    source = load_file(place / "old" / "best" / BEST)
    shutil.rmtree(place / "old")
    run = load(place / "ft")
    (row,) = run.models.to_dict("records")
    assert (row["status"], row["function_set"], row["stage"]) == ("ok", "probe", "search")
    assert run.state == "finished"
    assert " probe " in done("list", ".", cwd=place)
    ours = load_file(run.model("best").folder / BEST)
    assert {name for name in source if not torch.equal(ours[name], source[name])} == {"head.weight", "head.bias"}
    assert "weights   equal\nidentical to the bit\n" in done("replay", "ft", "best", "--retrain", cwd=place)
    done("confirm", "ft", "--top", "1", "--seeds", "1", *SERIAL, cwd=place)
    again = load(place / "ft").models.query("stage == 'confirm'")["id"].iloc[0]
    assert "weights   equal\nidentical to the bit\n" in done("replay", "ft", again, "--retrain", cwd=place)
    assert "left" in done("predict", "ft", "best", "own/left/0.png", cwd=place)
    done("export", "ft", "best", "--out", "net", cwd=place)
    done("finetune", "ft", "best", *SHORT, "--keep-head", "--run", "on", cwd=place)
    assert load(place / "on").config["weights"] == str(place / "ft" / "models" / row["id"] / BEST)
    # What was exported has all that is needed, too.
    said = program(
        "--weights", "net/weights.safetensors", *SHORT, "--mode", "from-scratch", "--run", "net-on", cwd=place
    )
    assert said.returncode == 0, said.stderr
    scratch = load(place / "net-on").model("best")
    assert scratch.model.id == run.model("best").model.id
    assert scratch.result is not None
    assert scratch.result.scratch_share is None
    assert "identical to the bit" in done("replay", "net-on", "best", "--retrain", cwd=place)


def test_a_killed_one_goes_on_to_the_same_weights(place: Path, tmp_path: Path) -> None:
    words = ("finetune", "r", "best", "--dataset", "folder:own", "--epochs", "30", "--patience", "0")
    process = Started(ROOT / "populations" / "__main__.py", (*words, "--run", "killed"), place)
    wait_for(place / "killed", f"models/*/{LAST}", 1, process)
    kill_hard(process)
    assert (place / "killed" / START).read_bytes() == (place / "r" / "best" / BEST).read_bytes()
    said = program("--resume", "killed", cwd=place)
    assert said.returncode == 0, said.stderr
    done(*words, *SERIAL, "--run", "whole", cwd=place)
    assert_same_run(place / "killed", place / "whole")


def test_it_stops_early_and_keeps_the_best(place: Path) -> None:
    done(
        "finetune",
        "r",
        "best",
        *SHORT[2:],
        "--epochs",
        "40",
        "--patience",
        "2",
        "--lr",
        "0.2",
        "--run",
        "e",
        cwd=place,
    )
    model = load(place / "e").model("best")
    curve = model.scored.curve
    best = max(curve, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert len(curve) == best["epoch"] + 2 < 40
    assert model.scored.metrics["val_accuracy"] == best["val_accuracy"]


def test_images_of_a_folder_are_scaled_to_those_of_the_network(place: Path) -> None:
    for name in ("one", "two"):
        (place / "large" / name).mkdir(parents=True)
        for n in range(12):
            Image.new("L", (20 + n, 31), 20 * n).save(place / "large" / name / f"{n}.png")
    done("finetune", "r", *SHORT, "--dataset", "folder:large", "--epochs", "1", "--run", "scaled", cwd=place)
    run = load(place / "scaled")
    assert (run.config["image_size"], run.model("best").model.image) == (8, (1, 8, 8))
    done("finetune", "r", *SHORT, "--dataset", "folder:large", "--image-size", "12", "--run", "larger", cwd=place)
    assert load(place / "larger").model("best").model.image == (1, 12, 12)


# -- what cannot be


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("r best", "the following arguments are required: --dataset"),
        ("r zz --dataset folder:own", "model 'zz' of r: found none; expected `best` or the beginning of one id"),
        ("nowhere best --dataset folder:own", "nowhere: no such run folder"),
        ("r best --dataset folder:none", "no such folder"),
        (
            "r best --dataset folder:own --mode prob",
            "--mode: unknown 'prob' (did you mean 'probe'?); one of finetune,",
        ),
        ("r best --dataset folder:own --mode probe --train-norm", "--train-norm: True has no effect on --mode probe"),
        ("r best --dataset folder:own --mode from-scratch --keep-head", "--keep-head: True has no effect on --mode"),
        ("r best --dataset folder:own --backbone-rate 0", "--backbone-rate: 0.0; expected a share of --lr"),
        ("r best --dataset folder:own --keep-head", "--keep-head: the head tells apart 10 (0, 1, 2, ...) classes, "),
        (
            "r best --dataset folder:own --keep-head",
            "{cwd}/own has 3 (left, middle, right); expected the same",
        ),
        ("r best --dataset folder:photos", "its images have 3 channels; the weights were trained on 1; expected"),
        ("r best --dataset folder:own --run r", "--run r: exists already"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(place: Path, words: str, said: str) -> None:
    before = {path.name for path in place.iterdir()}
    code, _, errors = asked("finetune", *words.split(), *SERIAL, cwd=place)
    assert (code, errors.count("\n")) == (2, 1)
    assert said.format(cwd=place) in errors
    assert {path.name for path in place.iterdir()} - before <= {"runs"}


def test_other_channels_can_be_trained_from_scratch(place: Path) -> None:
    words = ("--dataset", "folder:photos", "--epochs", "1", *SERIAL, "--mode", "from-scratch", "--run", "rgb")
    done("finetune", "r", "best", *words, cwd=place)
    assert load(place / "rgb").model("best").model.image == (3, 8, 8)


def test_a_model_without_weights_is_named(run: Path, place: Path) -> None:
    identity = load(run).identity("best")
    (run / "best" / BEST).unlink()
    code, _, errors = asked("finetune", str(run), "best", *SHORT, cwd=place)
    assert code == 2
    assert re.search(rf"model {identity}: has no weights .* its status is ok; expected a trained model", errors)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--mode", "probe"), "--mode: probe goes with --weights FILE, which was not given"),
        (("--weights", "w", "--family", "vgg"), "goes without --family vgg; leave one out"),
        (("--weights", "w", "--num-max-depth", "9"), "--num-max-depth: 9 has no effect on --weights"),
        (("--weights", "w", "--confirm", "1"), "--confirm: 1 has no effect on --weights"),
        (("--weights", "none.safetensors"), "none.safetensors: no such checkpoint"),
        (("--weights", "plain.safetensors"), "corrupt or truncated checkpoint"),
        (
            ("--weights", "foreign.safetensors"),
            "do not say of which network; expected those of a model, or of export",
        ),
    ],
)
def test_weights_that_cannot_be_used_are_one_line(
    place: Path,
    flags: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    save_file({"a": torch.zeros(2)}, place / "plain.safetensors")
    save_file({"a": torch.zeros(2)}, place / "foreign.safetensors", {"description": "{}"})
    code, errors = evolve.main([*flags, *SHORT, "--run", "bad"]), capsys.readouterr().err
    assert (code, errors.count("\n")) == (2, 1)
    assert said in errors
    assert not (place / "bad").exists()


def test_a_run_that_lost_its_weights_says_so(place: Path, tmp_path: Path) -> None:
    if not (place / "whole").exists():
        done("finetune", "r", "best", *SHORT, "--run", "whole", cwd=place)
    shutil.copytree(place / "whole", tmp_path / "r", symlinks=True)
    (tmp_path / "r" / START).unlink()
    code, _, errors = asked("replay", "r", "best", "--retrain", cwd=tmp_path)
    assert (code, errors.count("\n")) == (2, 1)
    assert f"{tmp_path / 'r' / START}: no such checkpoint" in errors


def test_images_that_are_too_small_are_refused(place: Path, make_job: Callable[..., Job]) -> None:
    job = make_job("deep", graph=Graph.chain(["conv_4_3", "maxpool", "maxpool", "maxpool"], Shape(1, 8, 8), 10))
    evaluate(job)
    flags: dict[str, Any] = {"weights": f"{job.folder}/{BEST}", "dataset": f"folder:{place / 'own'}", "image_size": 4}
    with pytest.raises(BadInput, match=r"images of 4 x 4 do not fit: node 4 \(maxpool\): gives \(4, 0, 0\)"):
        evolve.run(**flags, executor="serial", run=place / "small")


def test_a_search_is_not_resumed_with_weights(searched: Path) -> None:
    with pytest.raises(BadInput, match="differs from the run's None"):
        parse(["--resume", str(searched), "--weights", "w"])
