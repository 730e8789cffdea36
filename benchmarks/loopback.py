"""A Dask scheduler and Dask workers of this machine, as their user starts them: real processes over loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PATH = os.pathsep.join((str(ROOT), str(ROOT / "tests")))  # what tests let workers do is there


class Loopback:
    """A scheduler, and the Dask workers that were started for it; a context manager, which ends them all."""

    def __init__(self, folder: Path) -> None:
        """Start the scheduler; what it and the Dask workers say goes to files in `folder`."""
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.workers = dict[str, subprocess.Popen[bytes]]()
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> "subprocess.Popen[bytes]":
        """Start the scheduler, again where it has ended, and wait until it answers."""
        options = ("--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-show")
        self.scheduler = self._start("scheduler", "distributed.cli.dask_scheduler", *options)
        while True:
            assert self.scheduler.poll() is None, (self.folder / "scheduler.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self.scheduler
            except OSError:
                time.sleep(0.05)

    def worker(self, name: str, *options: str, prefix: tuple[str, ...] = ()) -> "subprocess.Popen[bytes]":
        """Start a Dask worker; by default it has one slot and no nanny."""
        options = options or ("--resources", "slot=1", "--no-nanny")
        given: tuple[str, ...] = (
            "--name",
            name,
            "--host",
            "127.0.0.1",
            "--no-dashboard",
            "--local-directory",
            str(self.folder),
        )
        if "--nthreads" not in options:
            given = (*given, "--nthreads", "1")
        self.workers[name] = self._start(
            name, "distributed.cli.dask_worker", self.address, *given, *options, prefix=prefix
        )
        return self.workers[name]

    def _start(
        self, name: str, module: str, *arguments: str, prefix: tuple[str, ...] = ()
    ) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*prefix, sys.executable, "-m", module, *arguments],
                env=os.environ | {"PYTHONPATH": _PATH},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def registered(self, name: str) -> None:
        """Wait until the scheduler knows a Dask worker."""
        while "Registered to" not in (self.folder / f"{name}.log").read_text():
            assert self.workers[name].poll() is None, (self.folder / f"{name}.log").read_text()
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """Kill -9 of a Dask worker."""
        process = self.workers.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def kill_scheduler(self) -> None:
        """Kill -9 of the scheduler."""
        self.scheduler.send_signal(signal.SIGKILL)
        self.scheduler.wait()

    def close(self) -> None:
        """End everything, and all that it has started."""
        for process in (*self.workers.values(), self.scheduler):
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            process.wait()

    def __enter__(self) -> "Loopback":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self.close()
