"""python -m benchmarks.gpu_check [PART ...] [--cifar10 DIR] [--mnist DIR]: all that wants a GPU, in parts.

    tests     the tests that need a GPU
    trainer, scaling, peer
              these benchmarks, whose results go where those of every benchmark go
    search    a search on CIFAR-10 in class folders
    replay    of the best network that it found

Each part is a program of its own, ended after `--minutes` where it has not come to its end. It goes on at the next
call: a benchmark from the turns that it has measured, a search from its journal; the tests and the replay begin
anew. What a part found is written when it is done, and the part is then left out.
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import hardware, versions
from cgp.errors import BadInput
from evaluate.files import write_atomically

ROOT = Path(__file__).parent.parent
MINUTES = 9.0  #: of a part; with its end, it takes less than ten
GRACE_S = 45.0  # in which a search lets its epochs end
_SHOWN = 12  # lines of what a part has said

_SEARCH = (
    *("--num-min-depth", "10", "--num-max-depth", "40", "--population", "16", "--generations", "4", "--seed", "1"),
    *("--train-size", "10000", "--batch-size", "128", "--workers-per-device", "auto", "--devices", "auto"),
)


@dataclass(frozen=True)
class Part:
    """A name, and the program to run; which that is may depend on how far the part has come."""

    name: str
    program: Callable[[], Sequence[str]]
    after: str = ""  #: the part that must be done before


def parts(folder: Path, cifar10: str, mnist: str) -> list[Part]:
    """Return all parts in their order; they keep in `folder` what they need to go on."""
    run, photographs, digits = folder / "search", Path(cifar10).absolute(), Path(mnist).absolute()

    def benchmark(name: str, *more: str) -> Part:
        return Part(name, lambda: ("-m", "benchmarks", name, "--keep", str(folder), *more))

    def search() -> Sequence[str]:
        if (run / "config.json").exists():
            return ("evolve.py", "--resume", str(run))
        return ("evolve.py", "--dataset", f"folder:{photographs}", "--run", str(run), *_SEARCH)

    return [
        Part("tests", lambda: ("-m", "pytest", "-m", "gpu", "-n", "0")),
        benchmark("trainer"),
        benchmark("scaling"),
        benchmark("peer", "--data-dir", str(digits)),
        Part("search", search),
        Part("replay", lambda: ("-m", "populations", "replay", str(run), "best", "--test"), after="search"),
    ]


def check(chosen: Sequence[Part], folder: Path, seconds: float, grace: float = GRACE_S) -> bool:
    """Run those of `chosen` that are not done, each for up to `seconds`; return whether all are done."""
    folder.mkdir(parents=True, exist_ok=True)
    left = [part for part in chosen if not (_done(part, folder) or _run(part, folder, seconds, grace))]
    return not left


def _done(part: Part, folder: Path) -> bool:
    path = folder / f"{part.name}.json"
    if path.exists():
        found = json.loads(path.read_text())
        print(f"{part.name}: done on {found['date']} ({found['hardware']}); {path} says what came of it")
    return path.exists()


def _run(part: Part, folder: Path, seconds: float, grace: float) -> bool:
    """Run `part`, whose words are added to its log; return whether it came to a good end."""
    if part.after and not (folder / f"{part.after}.json").exists():
        print(f"{part.name}: waits until {part.after} is done")
        return False
    log = folder / f"{part.name}.txt"
    print(f"{part.name}: begun, for up to {seconds / 60:.3g} min; it writes to {log}", flush=True)
    began, program = time.monotonic(), [sys.executable, *part.program()]
    with log.open("a") as words:
        before = words.tell()
        code = _ended(subprocess.Popen(program, cwd=ROOT, stdout=words, stderr=subprocess.STDOUT), seconds, grace)
    taken = time.monotonic() - began
    with log.open() as words:
        words.seek(before)
        said = words.read().splitlines()
    for line in said[-_SHOWN:]:
        print(f"  {line}")
    if code is None:
        print(f"{part.name}: not done after {taken / 60:.2g} min; it goes on at the next call")
    elif code:
        print(f"{part.name}: failed with exit code {code}; {log} says why, and the next call tries it again")
    else:
        found = {"part": part.name, "command": ["python", *program[1:]], "seconds": round(taken, 1), "output": said}
        about = {"hardware": hardware(), "versions": versions(), "date": datetime.now(UTC).date().isoformat()}
        write_atomically(folder / f"{part.name}.json", (json.dumps(found | about, indent=1) + "\n").encode())
        print(f"{part.name}: done in {taken / 60:.2g} min")
    return code == 0


def _ended(process: "subprocess.Popen[bytes]", seconds: float, grace: float) -> int | None:
    """Wait for the end of `process`, and bring it about after `seconds`; return its exit code, None if so."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.terminate()  # a search then lets its epochs end
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
        return None
    finally:  # whatever ends this call must not leave the part running
        process.kill()
        process.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0: all is done, 1: something is left, 2: no GPU, or bad input (one line on stderr)."""
    parser = argparse.ArgumentParser(prog="gpu_check", description="Check and measure on a GPU, part by part.")
    parser.add_argument("names", nargs="*", metavar="PART", help="tests, trainer, scaling, peer, search or replay")
    parser.add_argument("--cifar10", default="data", metavar="DIR", help="CIFAR-10 as train/CLASS, test/CLASS")
    parser.add_argument("--mnist", default="data", metavar="DIR", help="the folder of torchvision's MNIST/raw")
    parser.add_argument("--folder", default="gpu-check", type=Path, help="for results and for what goes on")
    parser.add_argument("--minutes", default=MINUTES, type=float, help="after which a part is ended")
    arguments = parser.parse_args(argv)
    try:
        _require_gpu()
        folder = (ROOT / arguments.folder).absolute()
        known = {part.name: part for part in parts(folder, arguments.cifar10, arguments.mnist)}
        if unknown := [name for name in arguments.names if name not in known]:
            raise BadInput(f"PART: {', '.join(unknown)}; expected some of {', '.join(known)}")
        chosen = [known[name] for name in known if name in (arguments.names or known)]
        return 0 if check(chosen, folder, 60 * arguments.minutes) else 1
    except BadInput as error:
        print(f"gpu_check: error: {error}", file=sys.stderr)
        return 2


def _require_gpu() -> None:
    import torch  # takes seconds, which help does not wait for

    if not torch.cuda.is_available():
        raise BadInput("no GPU: torch finds no CUDA device here; run this on a machine that has one")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part under way ends, too
    sys.exit(main())
