"""Bad input to `evolve.py`: one line, exit code 2, nothing written."""

from pathlib import Path

import pytest
from PIL import Image

import evolve
from populations.setup.config import parse, parser
from populations.setup.flags import FLAGS

DASK = ("--executor", "dask", "--scheduler")
CASES: list[tuple[list[str], str]] = [
    (["--num-min-depth", "5", "--num-max-depth", "4"], "--num-max-depth: 4"),
    (["--num-min-depth", "0"], "--num-min-depth: 0"),
    (["--function-set", "resnt"], "did you mean 'resnet'"),
    (["--function-set", "conv_32_3,conv_32_4"], "conv_32_4"),
    (["--function-set", "conv_32_3,cnov_16_3"], "cnov_16_3"),
    (["--dataset", "digit"], "did you mean 'digits'"),
    (["--recipe", "fats"], "did you mean 'fast'"),
    (["--strategy", "randm"], "did you mean 'random'?); one of auto, mu-plus-lambda"),
    (["--objectives", "accuracy"], "val_accuracy"),
    (["--optimizer", "sdg"], "did you mean 'sgd'"),
    (["--schedule", "cosin"], "did you mean 'cosine'"),
    (["--init", "orthogona"], "did you mean 'orthogonal'"),
    (["--precision", "fp64"], "fp64"),
    (["--devices", "cpu", "--precision", "fp16"], "--precision: fp16 is not native to cpu"),
    (["--dataset", "mnist"], "--download"),
    (["--dataset", "folder:nowhere"], "no such folder"),
    (["--devices", "cuda:77"], "cuda:77"),
    (["--devices", "cpu", "--workers", "0"], "--workers"),
    (["--devices", "cpu", "--workers-per-device", "10000"], "--workers-per-device: 10000 workers on cpu need"),
    (["--workers-per-device", "0"], "--workers-per-device: '0'"),
    (["--workers-per-device", "many"], "--workers-per-device: 'many'"),
    (["--workers-per-device", "2", "--workers", "2"], "--workers-per-device: 2 goes without --workers"),
    (["--max-params", "100"], "--max-params: 100"),
    (["--train-size", "1000000"], "--train-size: 1000000"),
    (["--epochs", "0"], "--epochs: 0"),
    (["--batch-size", "1"], "--batch-size: 1"),
    (["--ghost-batch", "12"], "--ghost-batch: 12 images; expected groups of equal size of at least 2, so of "),
    (["--ghost-batch", "1"], "so of --batch-size 32 one of 2, 4, 8, 16, 32"),
    (["--ghost-batch", "64"], "--ghost-batch: 64 images"),
    (["--ghost-batch", "-8"], "--ghost-batch: -8; expected at least 0"),
    (["--memory-limit", "-1"], "--memory-limit: -1; expected at least 0"),
    (["--memory-limit", "1"], "--memory-limit: 1 MB; predicted are "),
    (
        ["--record", "activation"],
        "--record: unknown 'activation' (did you mean 'activations'?); one of activations",
    ),
    (["--population", "0"], "--population: 0"),
    (["--offspring", "0"], "--offspring: 0"),
    (["--mutation-rate", "2"], "--mutation-rate: 2"),
    (["--timeout", "0"], "--timeout: 0"),
    (["--seed", "-1"], "--seed: -1"),
    (["--keep", "some"], "--keep"),
    (["--keep-epochs", "-1"], "--keep-epochs: -1; expected at least 0"),
    (["--lr", "fast"], "--lr"),
    (["--generatoins", "3"], "did you mean '--generations'"),
    ([""], "evolve.py: error: '' belongs to no flag; leave it out; see --help"),
    (["cifar10"], "evolve.py: error: 'cifar10' belongs to no flag; leave it out; see --help"),
    (["--levels-back", "1"], "--levels-back: 1"),
    (["--retry-failed"], "--resume"),
    (["--resume", "nowhere"], "nowhere"),
    (["--config", "none.toml"], "none.toml"),
    (["--racing", "--rungs", "6"], "--rungs: 6"),
    (["--no-racing", "--rungs", "1"], "--racing"),
    (["--seed", "x"], "--seed: 'x'; expected a whole number; see --help"),
    (["--timeout", "soon"], "--timeout: 'soon'; expected a number; see --help"),
    (["--seed"], "--seed: expected one argument; see --help"),
    (["--rung-score", "smothed"], "--rung-score: unknown 'smothed' (did you mean 'smoothed'?); one of smoothed, acc"),
    (["--no-racing", "--rung-score", "accuracy"], "--rung-score: accuracy goes with --racing, not with --no-racing"),
    (["--inherit", "--keep", "best"], "--inherit"),
    (["--deterministic"], "--strategy aging"),
    (["--strategy", "nsga2", "--racing"], "--racing: ends networks for their val_accuracy alone"),
    (["--strategy", "nsga2", "--rungs", "1"], "--rungs: 1 goes with --racing"),
    (["--strategy", "nsga2", "--rung-score", "smoothed"], "--rung-score: smoothed goes with --racing"),
    (["--strategy", "nsga2", "--objectives", "params"], "--objectives: params is one; --strategy nsga2 expects"),
    (["--keep", "pareto"], "--keep pareto: goes with --strategy nsga2, not with screened, which has no front"),
    (["--keep", "pareto", "--strategy", "nsga2", "--inherit"], "--keep pareto: drops the weights that --inherit"),
    (["--keep", "pareto", "--strategy", "nsga2", "--confirm", "2"], "--keep pareto: drops the weights of winners"),
    # Where networks are trained
    (["--executor", "dusk"], "--executor: unknown 'dusk' (did you mean 'dask'?); one of local, serial, dask"),
    (["--scheduler", "tcp://h:1"], "--scheduler: tcp://h:1 does not go with --executor local; leave one out"),
    (["--wait", "5"], "--wait: 5.0 does not go with --executor local"),
    (["--executor", "dask"], "--executor dask: needs --scheduler tcp://HOST:PORT, which was not given"),
    ([*DASK, "node7"], "--scheduler: 'node7'; expected tcp://HOST:PORT, or tls://"),
    ([*DASK, "tcp://127.0.0.1:9"], "--scheduler tcp://127.0.0.1:9: no scheduler answers there (Connection refused)"),
    ([*DASK, "tcp://h:1", "--wait", "-1"], "--wait: -1.0; expected seconds of at least 0"),
    ([*DASK, "tcp://h:1", "--workers", "2"], "--workers: 2 does not go with --executor dask"),
    ([*DASK, "tcp://h:1", "--devices", "cpu"], "--devices: cpu does not go with --executor dask"),
    ([*DASK, "tcp://h:1", "--dry-run"], "--dry-run: times this machine, not the workers of --executor dask"),
    (["--executor", "serial", "--timeout", "5"], "--timeout: 5 cannot be kept by --executor serial"),
    (["--executor", "serial", "--workers", "2"], "--workers: 2 does not go with --executor serial"),
    (["--executor", "serial", "--devices", "cpu,cpu"], "--devices: cpu,cpu; expected one"),
    # Numbers that no machine holds, or that would take it for ever
    (["--levels-back", str(2**63)], f"--levels-back: {2**63}; expected 2..10000"),
    (["--workers", "9" * 18], f"--workers: {'9' * 18}; expected 1..10000"),
    (["--workers-per-device", "9" * 5000], "expected 1..10000, or auto"),
    (["--population", "9" * 18], "--population: 9"),
    (["--seed", str(2**64)], f"--seed: {2**64}"),
    (["--max-flops", str(2**64)], f"--max-flops: {2**64}"),
    (["--num-max-depth", "1000000", "--dry-run"], "--num-max-depth: 1000000; expected 1..2000"),
    (
        ["--function-set", "conv_8_999", "--dry-run"],
        "'conv_8_999': its kernel is too large; expected at most 31",
    ),
    (["--function-set", f"conv_{'9' * 20}_3"], "its channels is too large; expected at most 4096"),
    (["--function-set", f"conv_8_3,dense_{'9' * 5000}_3"], "its growth is too large"),
    (["--timeout", "nan"], "--timeout: nan"),
    (["--timeout", "inf"], "--timeout: inf"),
    (
        ["--train-size", "100", "--val-size", "360"],
        "--val-size: 360; digits has 359 validation images",
    ),
    (["--val-size", "9"], "--val-size: 9; digits has 359 validation images"),
    (["--val-size", "0"], "--val-size: '0'"),
    (["--val-size", "most"], "--val-size: 'most'; expected a number of images of at least 1, auto or all"),
    # Names of nobody and nothing
    (["--data-dir", "~nosuchuser"], "--data-dir ~nosuchuser: found no home"),
    (["--dataset", "folder:~nosuchuser"], "--dataset folder:~nosuchuser: found no home"),
    (["--run", ""], "--run: ''"),
    # Flags that would have no effect
    (["--objectives", "val_accuracy,params,val_accuracy"], "--objectives: val_accuracy is there twice"),
    (["--strategy", "random", "--offspring", "8"], "--offspring: 8 has no effect on --strategy random"),
    (["--strategy", "random", "--mutation-rate", "0.1"], "--mutation-rate: 0.1 has no effect"),
    (["--mutation-rate", "0.1"], "on --strategy screened; leave it out, or choose another --strategy"),
    (["--optimizer", "adam", "--momentum", "0.5"], "--momentum: 0.5 has no effect on --optimizer adam"),
    (["--family", "resnet", "--num-max-depth", "9"], "--num-max-depth: 9 has no effect on --family resnet"),
    (["--init-beta", "1"], "--init-beta: 1.0 goes with --init depth_scaled, not with dirac"),
    (["--download"], "--download: has no effect on --dataset digits"),
    (["--dataset", "folder:photos", "--download"], "--download: has no effect on --dataset folder:"),
    (["--dry-run", "--profile"], "--dry-run: trains nothing and goes without --profile"),
    (["--resume", "nowhere", "--dry-run", "--retry-failed"], "goes without --retry-failed"),
]


@pytest.mark.parametrize(("arguments", "said"), CASES)
def test_one_line_exit_2_and_nothing_written(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert evolve.main(arguments) == 2
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if "images" not in line] == []  # what was being done, no more
    assert err.count("\n") == 1
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_without_dask_a_cluster_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert evolve.main([*DASK, "tcp://h:1"]) == 2
    assert capsys.readouterr().err.endswith(
        "Dask is not installed here; install it: pip install 'cgp-evolve[dask]'\n"
    )


def test_an_image_too_small_for_pooling(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        for n in range(8):
            Image.new("L", (1, 1), n * 30).save(tmp_path / name / f"{n}.png")
    assert evolve.main(["--dataset", f"folder:{tmp_path}"]) == 2
    assert "images are 1 pixels" in capsys.readouterr().err


def test_an_existing_folder_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert evolve.main(["--run", str(tmp_path)]) == 2
    assert f"--resume {tmp_path}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unwritable_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert evolve.main(["--run", "/proc/no/run"]) == 2
    assert "--run /proc/no/run: cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs = ", "cannot be read as TOML"),
        ("epohcs = 3", "did you mean 'epochs'"),
        ('epochs = "3"', "expected int"),
        ("epochs = " + "9" * 5000, "cannot be read as TOML"),
        ("a = " + "[" * 1000 + "]" * 1000, "cannot be read as TOML"),
    ],
)
def test_a_bad_config_file(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text(text)
    assert evolve.main(["--config", str(tmp_path / "c.toml")]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "c.toml" in err


def test_resume_with_other_search_flags_names_the_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = parse([])
    (tmp_path / "config.json").write_text(__import__("json").dumps(config.resolved(config.recipe())))
    for flags, said in (
        (["--num-max-depth", "71"], "--num-max-depth 71 differs from the run's 70"),
        (["--lr", "0.5"], "--lr 0.5 differs from the run's 0.03"),
        (["--generations", "1"], "--generations 1 is below"),
    ):
        assert evolve.main(["--resume", str(tmp_path), *flags]) == 2
        assert said in capsys.readouterr().err


def test_help_names_every_flag_in_its_group() -> None:
    text = parser().format_help()
    for group in ("space", "evolution", "evaluation", "resources", "run"):
        assert f"\n{group}:" in text
    for flag in FLAGS.values():
        assert flag.spelled in text


def test_underscores_are_accepted() -> None:
    assert parse(["--num_min_depth", "3", "--run=a_b"]).space.num_min_depth == 3
    assert parse(["--run=a_b"]).run.run == "a_b"
