"""Networks of cgp-cnn-PyTorch become a run: counted as there, shown, drawn, trained; what is none is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import populations.__main__ as cli
from cgp.genome import draw
from cgp.graph import Graph
from cgp.layers import Shape
from cgp.space import Space
from harness import populations, program
from populations import load
from populations.importing.cgp_cnn import TYPES, Source, read

LISTED: list[list[Any]] = [
    ["input", 0, 0], ["S_ConvBlock_64_3", 0, 0], ["S_ResBlock_32_5", 1, 0], ["Max_Pool", 1, 1], ["Sum", 2, 3],
    ["Concat", 4, 1], ["full", 5, 2],
]  # fmt: skip
SMALL = [["input", 0, 0], ["S_ConvBlock_32_1", 0, 0], ["Avg_Pool", 1, 0], ["full", 2, 0]]
OURS = ",".join(
    f"{'conv' if 'Conv' in name else 'res'}_{name.split('_')[2]}_{name.split('_')[3]}"
    if name.startswith("S_")
    else {"Concat": "concat", "Sum": "sum", "Max_Pool": "maxpool", "Avg_Pool": "avgpool"}[name]
    for name in TYPES
)


def their_count(rows: list[list[Any]], channels: int, side: int, classes: int) -> Any:
    """Parameters as that program allocates them: it keeps channels and side of every row."""
    widths, sides, params = [channels], [side], 0
    for name, first, second in rows[1:]:
        width, size = widths[first], sides[first]
        if name == "full":
            return params + width * size * size * classes + classes
        if name.startswith("S_"):
            _, kind, out, kernel = name.split("_")
            outs, area = int(out), int(kernel) ** 2
            params += width * outs * area + 2 * outs
            if kind == "ResBlock":
                params += outs * outs * area + 2 * outs
            width = max(width, outs) if kind == "ResBlock" else outs
        elif name.endswith("_Pool"):
            size = size // 2
        else:
            width = width + widths[second] if name == "Concat" else max(width, widths[second])
            size = min(size, sides[second])
        widths.append(width)
        sides.append(size)
    raise AssertionError("no output")


def listed(graph: Graph) -> list[list[Any]]:
    """The active list of a graph."""
    theirs = dict(zip(OURS.split(","), TYPES, strict=True))
    rows = [[theirs[node.block], node.inputs[0], node.inputs[-1]] for node in graph.nodes]
    return [["input", 0, 0], *rows, ["full", graph.depth, 0]]


def written(folder: Path, *lines: str) -> Path:
    file = folder / "networks.txt"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_published_order_of_types_has_both_kinds() -> None:
    assert len(TYPES) == 22
    assert (TYPES[0], TYPES[3], TYPES[9], TYPES[18:20]) == (
        "S_ConvBlock_32_1", "S_ConvBlock_128_1", "S_ResBlock_32_1", ("Concat", "Sum"),
    )  # fmt: skip


def test_lists_in_json_and_python_are_counted_as_there(tmp_path: Path) -> None:
    python = str(LISTED).replace("1, 0]", "np.int64(1), 0]")  # as numpy 2 has it printed
    graphs = read(written(tmp_path, json.dumps(LISTED), "", python), Source(Shape(3, 32, 32), 10))
    assert graphs[0] == graphs[1]
    assert graphs[0].params == their_count(LISTED, 3, 32, 10) == 1856 + 76_928 + 128 * 16 * 16 * 10 + 10


def test_a_logged_genome_is_the_network_that_it_means(tmp_path: Path) -> None:
    space = Space(OURS, 5, 40, Shape(3, 32, 32), 10, 10, wiring="grid", rows=5, columns=30, head="flatten")
    genomes = [draw(space, np.random.default_rng(seed)) for seed in range(20)]
    lines = list[str]()
    for genome in genomes:
        *genes, output = genome.genes
        cells = zip(genes[:150], genes[150:300], genes[300:], strict=True)
        whole = [*(gene for cell in cells for gene in cell), 0, output, 7]
        lines.append(",".join(map(str, [3, 7, 12.5, 0.81, 9, *whole])))
    found = read(written(tmp_path, *lines), Source(Shape(3, 32, 32), 10))
    for genome, graph in zip(genomes, found, strict=True):
        meant = genome.graph(space)
        assert (graph.depth, graph.params, graph.flops) == (meant.depth, meant.params, meant.flops)
        assert graph.params == their_count(listed(graph), 3, 32, 10)
        again = read(written(tmp_path, json.dumps(listed(graph))), Source(Shape(3, 32, 32), 10))
        assert again == [graph]


def test_they_are_shown_drawn_trained_and_compared(tmp_path: Path) -> None:
    file = written(tmp_path, json.dumps(LISTED), json.dumps(SMALL))
    flags = ("--format", "cgp-cnn", "--image", "1,8,8", "--classes", "10", "--dataset", "digits")
    done = populations("import", file, *flags, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = load(tmp_path / "run")
    models = run.models
    assert run.state == "imported"
    assert models["stage"].tolist() == ["import"] * 2
    assert models["params"].tolist() == [their_count(rows, 1, 8, 10) for rows in (LISTED, SMALL)]
    assert models["function_set"].unique().tolist() == ["cgp-cnn"]
    compared = populations("compare", "run", "--stage", "import", "--metric", "params", cwd=tmp_path)
    assert compared.stdout.splitlines()[1].split()[:2] == ["run", "2"]
    small = models["id"][1]
    for command in (
        ("show",),
        ("draw", small, "--out", "net.svg"),
        ("explain", small),
        ("report", "--out", "r.html"),
    ):
        done = populations(command[0], "run", *command[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = populations("replay", "run", small, "--recipe", "fast", "--epochs", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "TEST accuracy" in done.stdout
    compared = populations("compare", "run", "--stage", "polish", "--metric", "test_accuracy", cwd=tmp_path)
    assert compared.returncode == 0, compared.stderr
    again = populations("import", file, *flags, "--out", "run", cwd=tmp_path)
    assert again.returncode == 2
    assert "--out run: exists already" in again.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            '[["input", 0, 0], ["S_ConvBlok_64_3", 0, 0], ["full", 1, 0]]',
            "line 2, column 20: row 1 has the unknown type",
        ),
        ('[["input", 0, 0], ["S_ConvBlock_64_2", 0, 0], ["full", 1, 0]]', "line 2, column 20: row 1 has the unknown"),
        ('[["input", 0, 0], ["S_ConvBlock_64_3", 0, 0]]', "column 20: row 1 is 'S_ConvBlock_64_3'; expected input,"),
        (
            '[["input", 0, 0], ["S_ConvBlock_64_3", "a"], ["full", 1, 0]]',
            "expected a type and the rows that it reads",
        ),
        ('[["input", 0, 0], ["Sum", 0], ["full", 1, 0]]', "line 2: node 1 (sum): inputs [0]"),
        (
            '[["input", 0, 0], ["Sum", 0, 3], ["full", 1, 0]]',
            "line 2: node 1 (sum): inputs [0, 3]; expected 2 of 0..0",
        ),
        ('[["input", 0, 0], ["Max_Pool", 0, 0], ["full", 0, 0]]', "the output reads row 0; expected 1"),
        ("[__import__('os').getcwd()]", "line 2: is neither JSON nor a Python list (ValueError)"),
        ("[[" * 9000, "line 2: is neither JSON nor a Python list"),
        ("[]", "line 2: has no nodes"),
        ("[3]", "row 0 is '3'"),
        ("1,2,3", "line 2: has 3 numbers; expected 14, 5 and the genome of a grid of 2 x 1 (--rows, --columns)"),
        ("1,2,3,4,5,0,0,0,22,0,0,0,2,0", "line 2, column 9: type 22; expected 0..21, see --types"),
        ("1,2,3,4,5,0,0,0,1,2,0,0,2,0", "line 2, column 10: input 2; expected one of an earlier column"),
        ("1,2,3,4,5,0,0,0,1,x,0,0,2,0", "line 2, column 10: 'x'; expected a whole number"),
        ("1,2,3,4,5,0,0,0,1,0,0,0,0,0", "graph of 0 nodes"),
    ],
)
def test_what_is_no_network_is_refused_by_line_and_column(
    line: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, json.dumps(SMALL), line)
    flags = ("--format", "cgp-cnn", "--image", "3,32,32", "--classes", "10", "--rows", "2", "--columns", "1")
    assert cli.main(["import", str(file), *flags, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--format", "nasbench"), "--format: unknown 'nasbench'; one of cgp-cnn"),
        (("--image", "3,32"), "--image: '3,32'; expected CHANNELS,HEIGHT,WIDTH"),
        (("--image", "3,0,32"), "--image: '3,0,32'"),
        (("--classes", "0"), "--classes: 0; expected at least 1"),
        (("--types", "Sum,Sam"), "--types: 'Sam' is no type of cgp-cnn-PyTorch"),
        (("--dataset", "cifar11"), "cifar11"),
        (("--image", "3,1,1"), "expected larger images"),
    ],
)
def test_flags_of_an_import_that_cannot_be_are_refused(
    flags: tuple[str, str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = {"--format": "cgp-cnn", "--image": "3,32,32", "--classes": "10"} | dict([flags])
    given = [word for pair in sound.items() for word in pair]
    file = written(tmp_path, json.dumps(SMALL))
    assert cli.main(["import", str(file), *given, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_an_imported_run_is_no_search_to_resume(tmp_path: Path) -> None:
    flags = ("--format", "cgp-cnn", "--image", "1,8,8", "--classes", "10", "--out", "run")
    assert populations("import", written(tmp_path, json.dumps(SMALL)), *flags, cwd=tmp_path).returncode == 0
    done = program("--resume", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "holds imported networks, and no search; train them by" in done.stderr
