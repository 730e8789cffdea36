"""The live page as a web application: for this machine's own browser, and for no page but itself. No torch."""

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cgp.errors import BadInput
from populations.report.live import Live

HOST = "127.0.0.1"
_HOSTS = [HOST, "localhost"]
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page has the rest, but may not say this of itself
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def application(live: Live, page: str) -> Starlette:
    """Return the application: `/` is `page`, `/data` all data of `live`, `/detail?run=NAME&id=ID` those of a network.

    Whoever has the data already says so with `If-None-Match`, and gets 304 while they are the same. A run that cannot
    be read any more is a 503 with one line of text.
    """

    def show(request: Request) -> Response:
        return HTMLResponse(page)

    def tell(request: Request) -> Response:
        told = live.data()
        tag = {"ETag": f'"{told.version}"'}
        if request.headers.get("if-none-match") == tag["ETag"]:
            return Response(status_code=304, headers=tag)
        return Response(told.text, media_type="application/json", headers=tag)

    def open_network(request: Request) -> Response:
        asked = request.query_params
        found = live.detail(asked.get("run", ""), asked.get("id", ""))
        return PlainTextResponse("no such network", 404) if found is None else JSONResponse(found)

    return Starlette(
        routes=[Route("/", show), Route("/data", tell), Route("/detail", open_network)],
        # A name that an attacker's DNS leads here is no host of ours.
        middleware=[
            Middleware(_Sealed),
            Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS, www_redirect=False),
            Middleware(GZipMiddleware, compresslevel=1),
        ],
        exception_handlers={BadInput: _unreadable, OSError: _unreadable},
    )


def _unreadable(request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), 503)


class _Sealed:
    """Answers no other origin, and keeps what is answered from them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        foreign = scope["type"] == "http" and _is_foreign(Headers(scope=scope))
        app = PlainTextResponse("only the page itself may ask", 403) if foreign else self._app
        await app(scope, receive, sealed)


def _is_foreign(headers: Headers) -> bool:
    """Whether a page of another origin asks; to lead the browser here, by a link, is everybody's right."""
    if "origin" in headers and headers["origin"] != f"http://{headers.get('host')}":
        return True
    linked = headers.get("sec-fetch-mode") == "navigate"
    return not linked and headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
