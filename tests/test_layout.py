"""The layout of the code: imports go one way, plain modules stay free of torch, all is described."""

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ("cgp", "evaluate", "populations", "studies", "evolve")  # each may import itself and what stands before it
WITHOUT_TORCH = (
    "cgp.feature_amounts",
    "cgp.space",
    "cgp.genome",
    "cgp.mutation",
    "cgp.graph",
    "cgp.source",
    "cgp.chains",
    "cgp.residual_mlp",
    "evaluate.job",
    "evaluate.data.preparation",
    "evaluate.memory.control_groups",
    "evaluate.pool.forkserver",
    "evaluate.pool.hosting",
    "evaluate.pool.pool",
    "evaluate.pool.process",
    "evaluate.pool.retries",
    "evaluate.pool.slot",
    "evaluate.pool.usage",
    "populations.search.stop",
    "evaluate.metrics",
    "evaluate.variation",
    "populations.reading.frame",
    "populations.run_folder.journal",
    "populations.commands.compare",
    "populations.commands.confirm",
    "populations.commands.draw",
    "populations.commands.explain",
    "populations.commands.finetune",
    "populations.commands.import_networks",
    "populations.commands.plot",
    "populations.commands.report",
    "populations.commands.watch",
    "populations.figures.blocks",
    "populations.figures.curves",
    "populations.figures.failures",
    "populations.figures.lineage",
    "populations.figures.progress",
    "populations.figures.sizes",
    "populations.figures.statuses",
    "populations.figures.times",
    "populations.reading.ledger",
    "populations.search.conduct",
    "populations.search.loop",
    "populations.setup.config",
    "populations.commands.measure",
    "populations.search.observers",
    "populations.run_folder.store",
    "studies.__main__",
    "studies.features",
)
SLOW = ("torch", "torchvision", "sklearn", "pandas", "joblib")  # to import
#: They answer, or refuse, before torch is imported; and a Dask scheduler does without.
DEFERRING = (
    *("evolve.py", "populations/__main__.py", "populations/commands/measure.py", "populations/setup/start.py"),
    "evaluate/pool/hosting.py",
)
MODULES = sorted(
    path for name in ORDER for path in [*(ROOT / name).rglob("*.py"), ROOT / f"{name}.py"] if path.exists()
)

Described = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(node: ast.AST, package: str) -> list[str]:
    """Our own packages that an import statement loads from; a relative import loads from `package`."""
    if isinstance(node, ast.Import):
        found = [alias.name.split(".")[0] for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        found = [package if node.level else str(node.module).split(".")[0]]
    else:
        found = []
    return [name for name in found if name in ORDER]


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Described]]:
    """The public functions and classes of a module, and the public methods of those classes."""
    for node in body:
        if isinstance(node, Described) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


def is_for_types(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def defers(node: ast.AST, path: Path) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef) and relative(path) in DEFERRING


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_point_left(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    allowed = ORDER[: ORDER.index(own) + 1]
    found = {name for node in ast.walk(tree(path)) for name in imported(node, own)}
    assert found <= set(allowed)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_own_modules_are_imported_at_the_top(path: Path) -> None:
    module, own = tree(path), path.relative_to(ROOT).parts[0].removesuffix(".py")
    may_import = [module, *(node for node in module.body if is_for_types(node) or defers(node, path))]
    at_top = {node for place in may_import for node in place.body if imported(node, own)}
    everywhere = {node for node in ast.walk(module) if imported(node, own)}
    assert sorted(node.lineno for node in everywhere - at_top if isinstance(node, ast.stmt)) == []


def test_every_package_is_looked_at() -> None:
    assert {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in MODULES} == set(ORDER)


def test_plain_modules_do_not_load_torch() -> None:
    script = (
        "import sys, importlib\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules:\n"
        "        sys.exit(f'{name} loads torch')\n"
        "importlib.import_module('cgp.network')\n"
        "print('torch' in sys.modules)\n"
    )
    command = [sys.executable, "-c", script, *WITHOUT_TORCH]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize(
    "line",
    [
        *("--help", "--generatoins 3", "--epochs many", "--epochs 0", "--workers 0", "--strategy randm", "--rungs 9"),
        *("--function-set resnt", "--dataset digit", "--objectives speed", "--config none.toml", "--resume nowhere"),
    ],
)
def test_help_and_what_is_wrong_with_a_flag_wait_for_no_slow_import(line: str) -> None:
    script = (
        "import sys, evolve\n"
        "try:\n"
        "    code = evolve.main(sys.argv[1:])\n"
        "except SystemExit as end:\n"
        "    code = end.code\n"
        f"print(code, [name for name in {SLOW} if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", script, *line.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == ("0 []" if line == "--help" else "2 []")


def test_the_extra_all_is_every_extra_of_a_user() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    extras = settings["options.extras_require"]
    assert extras["all"] == f"cgp-evolve[{','.join(sorted(extras.keys() - {'all', 'dev'}))}]"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_everything_public_is_described(path: Path) -> None:
    module = tree(path)
    assert ast.get_docstring(module)
    assert [name for name, node in public(module.body) if not ast.get_docstring(node)] == []
