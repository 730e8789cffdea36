"""What is measured: the precision and workers of `auto`, the memory they need, the profile of an epoch."""

import json
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest
import torch

import evolve
from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.layers import Shape
from evaluate.devices import placement as placing
from evaluate.devices import probe
from evaluate.devices.numerics import Numerics, native_precisions
from evaluate.devices.placement import fewest_near_best, placement, throughput
from evaluate.pool.executors import ProcessSlot
from harness import TINY, program
from populations.setup.config import parse

CHAIN = Graph.chain(["conv_32_3"] * 8, Shape(3, 32, 32), 10)


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of probes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    probe.probe_precision.cache_clear()
    yield tmp_path / "cache" / "cgp-evolve"
    probe.probe_precision.cache_clear()


def test_auto_is_timed_once_and_a_resumed_run_keeps_its_precision(fresh_cache: Path, tmp_path: Path) -> None:
    arguments = [*TINY, "--run", "r", "--devices", "cpu", "--generations"]
    assert program(*arguments, "1", cwd=tmp_path).returncode == 0
    chosen = json.loads((tmp_path / "r" / "config.json").read_text())["precision"]
    asked = {path: json.loads(path.read_text()) for path in fresh_cache.glob("probe-*.json")}
    ((cached, found),) = [(path, told) for path, told in asked.items() if "precisions" in told["asked"]]
    assert chosen == found["found"]["precision"]

    other = "fp32" if chosen == "bf16" else "bf16"
    cached.write_text(json.dumps(found | {"found": found["found"] | {"precision": other}}))
    assert program("--resume", "r", "--generations", "2", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "r" / "config.json").read_text())["precision"] == chosen
    first, second = json.loads((tmp_path / "r" / "environment.json").read_text())["sessions"]
    assert set(first["precision_milliseconds"]) == set(native_precisions("cpu"))
    assert all(taken > 0 for taken in first["precision_milliseconds"].values())
    assert second["precision_milliseconds"] == {}
    assert {worker["precision"] for worker in first["workers"] + second["workers"]} == {chosen}


@pytest.mark.parametrize(("half", "chosen"), [(0.5, "bf16"), (1.0, "fp32"), (2.0, "fp32")])
@pytest.mark.usefixtures("fresh_cache")
def test_a_half_precision_must_be_faster(half: float, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "native_precisions", lambda device: ("fp32", "bf16", "fp16"))
    monkeypatch.setattr(probe, "training", lambda device, precision: precision)
    monkeypatch.setattr(probe, "_milliseconds", lambda steps: {"fp32": 1.0}.get(steps, half))
    threads = torch.get_num_threads()
    assert probe.probe_precision(("cpu",)) == (chosen, {"fp32": 1.0, "bf16": half})
    assert torch.get_num_threads() == threads


def test_a_precision_that_the_device_lacks_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert evolve.main(["--devices", "cpu", "--precision", "bf16"]) == 2
    expected = "evolve.py: error: --precision: bf16 is not native to cpu; expected auto or one of fp32\n"
    assert capsys.readouterr().err == expected


def test_only_fp16_scales_its_loss() -> None:
    loss = torch.ones(())
    scaled = {name: float(Numerics("cpu", name).scaler().scale(loss)) for name in ("fp32", "bf16", "fp16")}
    assert scaled["fp32"] == scaled["bf16"] == 1.0
    assert scaled["fp16"] > 1.0


# Workers per device


def test_workers_by_default_as_asked_and_automatic(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = 6
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)

    def places(devices: list[str], workers: int | None = None, each: str | None = None) -> tuple[list[str], int]:
        return placement(devices, workers, each, "fp32", lambda _: 1)

    assert places(["cpu"]) == (["cpu"], cores)
    assert places(["cuda:0", "cuda:1"]) == (["cuda:0", "cuda:1"], 2)
    assert places(["cpu"], workers=3) == (["cpu"], 3)
    assert places(["cpu"], each="3") == (["cpu"] * 3, 3)
    assert places(["cpu"], each="auto") == (["cpu"] * cores, cores)


def test_a_gpu_gets_what_the_probe_finds(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's side alone; the probe itself is tried on the CPU below."""
    monkeypatch.setattr(placing, "free_bytes", lambda device: 5000)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "a GPU")
    monkeypatch.setattr(placing, "throughput", lambda device, precision, counts: {n: 10.0 * n for n in counts})
    assert placement(["cuda:0", "cuda:1"], None, "auto", "bf16", lambda _: 1000)[1] == 2 * 4  # 8 do not fit
    assert len(list(fresh_cache.glob("probe-*.json"))) == 1  # one kind


@pytest.mark.parametrize("each", ["6", "auto"])
def test_workers_that_do_not_fit_are_refused(each: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "free_bytes", lambda device: 5000)
    with pytest.raises(BadInput, match=r"--workers-per-device: \d workers on cpu need .*[60],000 .*5,000 are free"):
        placement(["cpu"], None, each, "fp32", lambda _: 1000 if each == "6" else 6000)


def test_the_other_flag_takes_over_on_resume(tmp_path: Path) -> None:
    config = parse(["--workers", "2"])
    (tmp_path / "config.json").write_text(json.dumps(config.resolved(config.recipe())))
    asked = parse(["--resume", str(tmp_path), "--workers-per-device", "1"]).resources
    assert (asked.workers, asked.workers_per_device) == (None, "1")
    assert parse(["--resume", str(tmp_path)]).resources.workers == 2


@pytest.mark.parametrize(
    ("rates", "fewest"),
    [({1: 10.0, 2: 19.0, 4: 20.0, 8: 18.0}, 2), ({1: 10.0, 2: 9.0}, 1), ({1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0}, 8)],
)
def test_as_few_workers_as_come_near_the_best(rates: dict[int, float], fewest: int) -> None:
    assert fewest_near_best(rates) == fewest


def test_throughput_is_measured_in_workers_that_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[str] = []
    stop = ProcessSlot.stop

    def noted(slot: ProcessSlot) -> None:
        stop(slot)
        stopped.append(slot.name)

    monkeypatch.setattr(ProcessSlot, "stop", noted)
    rates = throughput("cpu", "fp32", (1, 2), seconds=2.0)
    assert set(rates) == {1, 2}
    assert min(rates.values()) > 0
    assert stopped == ["slot 0", "slot 1"]


# Profile


def test_a_profile_shows_phases_and_operators_and_writes_nothing(tmp_path: Path) -> None:
    done = program(*TINY, "--profile", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = [line.rsplit(maxsplit=2) for line in done.stdout.splitlines() if line.endswith("%")]
    shares = {name.strip(): float(share.removesuffix("%")) for name, _, share in table[:7]}
    assert list(shares) == [
        *("start-up and build", "data and augmentation", "forward", "loss and backward"),
        *("optimizer", "validation", "checkpoint"),
    ]
    assert min(shares.values()) >= 0
    assert sum(shares.values()) == pytest.approx(100, abs=0.5)
    assert done.stdout.count("aten::") >= 5
    assert "images/s in training" in done.stdout
    assert list(tmp_path.iterdir()) == []
