"""A JSON-RPC server on the loopback interface that misbehaves as told."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import orjson
from aiohttp import web

Answer = Callable[[str, list[Any]], Any]


class Fails(Exception):
    """The node's own error answer."""

    def __init__(self, message: str, code: int = -32000, data: str | None = None) -> None:
        self.body: dict[str, Any] = {"code": code, "message": message}
        if data is not None:
            self.body["data"] = data


class FakeNode:
    """`mode` is ok, hang, half, garbage, html, status (with `status`), drop, foreign, empty."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.mode = "ok"
        self.status = 429
        self.seen: list[tuple[str, list[Any]]] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        calls = body if isinstance(body, list) else [body]
        self.seen += [(c["method"], c["params"]) for c in calls]
        answers = [self._one(c) for c in calls]
        whole = orjson.dumps(answers if isinstance(body, list) else answers[0])
        match self.mode:
            case "hang":
                await asyncio.sleep(30)
            case "half":
                whole = whole[: len(whole) // 2]
            case "garbage":
                whole = b"\x00\xff not json"
            case "html":
                whole = b"<html>502 Bad Gateway</html>"
            case "empty":
                whole = b""
            case "status":
                return web.Response(status=self.status, body=whole)
            case "drop":
                assert request.transport is not None
                request.transport.close()
        return web.Response(body=whole, content_type="application/json")

    def _one(self, call: dict[str, Any]) -> dict[str, Any]:
        id_ = call["id"] + (1000 if self.mode == "foreign" else 0)
        try:
            result = self.answer(call["method"], call["params"])
        except Fails as failure:
            return {"jsonrpc": "2.0", "id": id_, "error": failure.body}
        return {"jsonrpc": "2.0", "id": id_, "result": result}
