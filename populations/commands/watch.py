"""The command `watch`: the page of `report`, live, for the browser of this machine. No torch."""

import argparse
import os
import socket

import uvicorn

from cgp.errors import BadInput
from populations.report.live import Live
from populations.report.page import live_page, plotly_script
from populations.report.served import HOST, application


def watch_runs(arguments: argparse.Namespace) -> int:
    """Serve the page until the user ends it; say where it is."""
    app = application(Live(arguments.run), live_page(plotly_script()))
    with _listening(arguments.port) as listener:
        print(f"http://{HOST}:{listener.getsockname()[1]}/ (Ctrl-C ends this page, no search)", flush=True)
        quiet = uvicorn.Config(
            app, log_level="error", access_log=False, lifespan="off", ws="none", proxy_headers=False
        )
        uvicorn.Server(quiet).run([listener])
    return 0


def _listening(port: int) -> socket.socket:
    """Return a socket that listens there, for this machine alone. Raises BadInput where none can."""
    if not 0 <= port <= 65535:
        raise BadInput(f"--port: {port} is no port; expected 1 to 65535, or 0 for any that is free")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise BadInput(f"--port: {port}: {reason}; give another one, or 0 for any that is free") from error
