"""Starts the program without its imports: a process that has made them once forks a process for each start.

torch takes seconds to import, twice in each search: in the driver and in the server of its workers. Beyond that a
start is like that of a shell: a process of its own, in its own session, with its own arguments, environment,
folder and output. Tests of the start itself (`test_signals`, `test_executors`, `test_commands`) do without this.
"""

import atexit
import contextlib
import gc
import json
import multiprocessing.util
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[1]


def serve(address: str) -> Callable[[], int]:
    """Listen at `address` and fork for each start, until standard input ends; return, in each fork, what it runs.

    A start is one message of JSON (`program`, `arguments`, `cwd`, `environment`) with two file descriptors, for its
    output and its errors; answered by the number of the process, and in the end by its exit code.
    """
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are nobody's to wait for
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return keep(connection)
        connection.close()
    os._exit(0)


def keep(connection: socket.socket) -> Callable[[], int]:
    """Fork the process that is asked for, and stay to tell how it ends."""
    message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 2)
    asked = json.loads(message)
    pid = os.fork()
    if pid == 0:
        connection.close()
        return become(asked["program"], asked["arguments"], asked["cwd"], asked["environment"], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    with contextlib.suppress(BrokenPipeError):  # the test has ended
        connection.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def become(
    program: str, arguments: list[str], cwd: str, environment: dict[str, str], descriptors: Sequence[int]
) -> Callable[[], int]:
    """Make this process as a shell would have started it, and return its main function."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, descriptor in enumerate([os.open(os.devnull, os.O_RDONLY), *descriptors]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = [program, *arguments]
    return MAIN[Path(program).parent.name if program.endswith("__main__.py") else "evolve"]


def fork_server(path: bytes, arguments: Sequence[Any], descriptors: Sequence[int]) -> int:
    """Start what multiprocessing asks for; the server that workers are forked from without importing again."""
    if "forkserver" not in arguments[-1]:
        return start(path, arguments, descriptors)
    pid = os.fork()
    if pid:
        return pid
    try:
        Path("/proc/self/comm").write_text("forkserver")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
            if descriptor > 2 and descriptor not in descriptors:
                with contextlib.suppress(OSError):  # that of the listing
                    os.close(descriptor)
        exec(arguments[-1], {})
    finally:
        os._exit(0)


def end(code: int) -> NoReturn:
    """End a fork as Python does, but for taking apart what was imported: a second, of which a start has hundreds."""
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    import torch._dynamo  # noqa: F401 as the workers' server does

    import evolve
    import populations.__main__
    import populations.commands.confirm
    import populations.commands.export
    import populations.commands.finetune
    import populations.commands.look
    import populations.commands.measure
    import populations.commands.predict
    import populations.commands.replay
    import populations.setup.composition
    import studies.__main__
    import studies.activations
    import studies.corruptions
    import studies.depth
    import studies.features
    import studies.forgetting
    import studies.landscape
    import studies.limit
    import studies.lr_range
    import studies.spectra

    MAIN = {
        "evolve": evolve.main,
        "populations": populations.__main__.main,
        "studies": studies.__main__.main,
    }
    start = multiprocessing.util.spawnv_passfds
    multiprocessing.util.spawnv_passfds = fork_server  # type: ignore[assignment]
    gc.freeze()  # a fork would otherwise visit, and so copy, all that was imported
    end(serve(sys.argv[1])())
