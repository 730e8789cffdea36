"""Racing, ageing and inheritance in searches as their user runs them: real processes, real kills."""

from pathlib import Path

import pytest

from evaluate.job import FINAL
from harness import TINY, assert_same_run, facts, kill_hard, killed_and_resumed, populations, program, start, wait_for
from populations import load

RACE = (*TINY, "--epochs", "4", "--population", "5", "--offspring", "5", "--racing", "--rungs", "1,2")
AGE = (*TINY, "--strategy", "aging", "--population", "3", "--offspring", "4", "--run", "r")
HEIR = (*TINY, "--inherit", "--generations", "2", "--run", "r")


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished race with one worker."""
    cwd = tmp_path_factory.mktemp("race")
    done = program(*RACE, "--workers", "1", "--run", "r", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert " pruned " in done.stdout
    return cwd / "r"


def test_racing_records_what_it_stopped_with_its_curve(race: Path) -> None:
    run = load(race)
    own = run.models[run.models["same_as"].isna()]
    pruned, whole = own[own["status"] == "pruned"], own[own["status"] == "ok"]
    assert set(own["status"]) == {"ok", "pruned"}
    assert set(pruned["epochs"]) <= {1, 2}
    assert set(whole["epochs"]) == {4}
    assert pruned["val_accuracy"].notna().all()
    assert run.curves.groupby("id").size().to_dict() == own.set_index("id")["epochs"].to_dict()
    for generation in range(3):
        assert set(run.population(generation)["status"]) == {"ok"}


def test_a_pruned_network_is_replayed_to_the_bit(race: Path) -> None:
    models = load(race).models
    identity = models[(models["status"] == "pruned") & models["same_as"].isna()]["id"].iloc[0]
    done = populations("replay", race, identity, "--retrain", cwd=race)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weights   equal" in done.stdout


def test_the_ledger_shows_what_racing_saved(race: Path) -> None:
    done = populations("show", race, "--ledger", "--format", "csv", cwd=race)
    assert done.returncode == 0, done.stderr
    (saved,) = [line for line in done.stdout.splitlines() if line.startswith("saved by racing")]
    assert float(saved.split(",")[1]) > 0


def test_two_workers_run_the_same_race(race: Path, tmp_path: Path) -> None:
    done = program(*RACE, "--workers", "2", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_run(race, tmp_path / "r")


@pytest.mark.parametrize(("files", "count"), [("models/*/last.safetensors", 2), ("models/*/last.safetensors", 9)])
def test_kill_9_changes_no_race(race: Path, tmp_path: Path, files: str, count: int) -> None:
    assert_same_run(race, killed_and_resumed(RACE, tmp_path, files, count))


def test_retry_failed_leaves_pruned_networks_alone(race: Path) -> None:
    before = facts(load(race))
    done = program("--resume", race, "--retry-failed", cwd=race.parent)
    assert done.returncode == 0, done.stderr
    assert facts(load(race)).equals(before)


@pytest.mark.parametrize("count", [3, 7])
def test_an_ageing_search_is_resumed_with_what_it_had_heard(tmp_path: Path, count: int) -> None:
    process = start(*AGE, "--workers", "2", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/last.safetensors", count, process)
    kill_hard(process)
    before = facts(load(tmp_path / "r"))
    done = program("--resume", "r", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = load(tmp_path / "r")
    assert len(run.models) == 3 + 4 + 4
    assert (run.models["status"] == "ok").all()
    ended = before[before["status"] == "ok"]
    assert facts(run).set_index("job").loc[ended["job"]].equals(ended.set_index("job"))
    assert len(run.generations) == 3


def test_ageing_that_keeps_only_the_best_weights_has_them(tmp_path: Path) -> None:
    done = program(*AGE, "--deterministic", "--keep", "best", "--workers", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert populations("replay", "r", "best", cwd=tmp_path).returncode == 0
    assert len(list((tmp_path / "r").glob("models/*/best.safetensors"))) == 1


def test_deterministic_ageing_is_the_same_with_any_number_of_workers(tmp_path: Path) -> None:
    for workers in ("1", "2"):
        done = program(*AGE, "--deterministic", "--workers", workers, "--run", workers, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "1", tmp_path / "2")


@pytest.fixture(scope="module")
def heir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search with inherited weights and two workers."""
    cwd = tmp_path_factory.mktemp("heir")
    done = program(*HEIR, "--workers", "2", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "r"


def test_children_inherit_and_the_final_ranking_is_from_scratch(heir: Path) -> None:
    models = load(heir).models
    children = models[(models["generation"] == 1) & models["same_as"].isna()]
    assert children["scratch_share"].between(0, 1).all()
    assert children["scratch_share"].min() < 1
    assert models[models["generation"] == 0]["scratch_share"].isna().all()
    finalists = models[models["stage"] == FINAL]
    assert set(finalists["generation"]) == {2}
    assert finalists["scratch_share"].isna().all()
    assert finalists["same_as"].isna().all()
    searched = models.set_index("id")
    assert (finalists["params"].to_numpy() == searched.loc[finalists["parent"], "params"].to_numpy()).all()
    best = finalists.sort_values(["val_accuracy", "params", "job"], ascending=[False, True, True])["id"].iloc[0]
    assert (heir / "best").resolve().name == best


def test_an_heir_is_replayed_to_the_bit(heir: Path) -> None:
    models = load(heir).models
    identity = models[models["scratch_share"].notna() & models["same_as"].isna()]["id"].iloc[0]
    for arguments in ((), ("--retrain",)):
        done = populations("replay", heir, identity, *arguments, cwd=heir)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_longer_search_keeps_the_final_trainings_it_has(heir: Path) -> None:
    before = facts(load(heir)).set_index(["stage", "job"])
    done = program("--resume", heir, "--generations", "3", cwd=heir.parent)
    assert done.returncode == 0, done.stderr
    after = facts(load(heir)).set_index(["stage", "job"])
    assert after.loc[before.index].equals(before)
    assert (after["generation"] == 2).sum() == 3 + 3
    assert (heir / "best").resolve().name in set(after.xs(FINAL)["id"])
