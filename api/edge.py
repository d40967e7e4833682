"""The outermost ASGI layer: counts requests and bounds their bodies."""

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import MEDIA_TYPE, problem
from custody.core.serialization import dumps

too_large = Response(
    dumps(problem(413, "too-large", "the body is too large")), 413, media_type=MEDIA_TYPE
)

registry = CollectorRegistry()
_requests = Counter(
    "moorage_http_requests_total",
    "Answers by method and status",
    ["method", "status"],
    registry=registry,
)
_seconds = Histogram(
    "moorage_http_request_seconds",
    "Time from the first byte of the request to the last of the answer",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
    registry=registry,
)


class _TooLarge(Exception):
    """Answered here: the application never sees such a request."""


class Edge:
    """Plain ASGI: a middleware class of Starlette's would cost a task per request."""

    def __init__(
        self, app: ASGIApp, body_max: int, larger: Mapping[str, int] | None = None
    ) -> None:
        self._app = app
        self._body_max = body_max
        self._larger = larger or {}
        self._children: dict[tuple[str, int], Counter] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if scope["method"] != "GET":
                receive = self._bounded(scope, receive)
            await self._app(scope, receive, watch)
        except _TooLarge:
            await too_large(scope, receive, watch)
        finally:
            self._count(scope["method"], status)
            _seconds.observe(time.perf_counter() - started)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """Raises _TooLarge by the stated length, or when the body turns out longer than allowed."""
        most = self._larger.get(scope["path"], self._body_max)
        for name, value in scope["headers"]:
            if name == b"content-length":
                if not value.isdigit() or len(value) > 18 or int(value) > most:
                    raise _TooLarge
                return receive
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise HTTPException(413, "the body is too large")
            return message

        return counted

    def _count(self, method: str, status: int) -> None:
        child = self._children.get((method, status))
        if child is None:
            child = self._children[method, status] = _requests.labels(method, str(status))
        child.inc()
