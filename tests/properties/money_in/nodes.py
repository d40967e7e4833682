"""Endpoints of one chain that break down or lie as told; all else is Anvil's own word."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import aiohttp
import orjson
from aiohttp import web

SILENT = ("no answer", "busy", "half an answer", "garbage", "hangs")
LYING = (
    *("lags", "omits logs", "raises amounts", "turns status", "other hashes"),
    *("invents a transfer", "raises the head", "raises balances"),
)
LAG = 4
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

Call = dict[str, Any]


class Node:
    """One endpoint. `fault` is one of SILENT or LYING, or empty; `before` is called at each request
    before anything else happens."""

    def __init__(self, upstream: str, before: Callable[[], None]) -> None:
        self.fault = ""
        self.invented: dict[str, str] = {}  # token, recipient and amount of a transfer that is none
        self.url = ""
        self._upstream = upstream
        self._before = before
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/", self._handle)
        self._session = aiohttp.ClientSession()
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        payload = await request.read()
        self._before()
        fault = self.fault
        if fault == "hangs":
            self.fault = "no answer"  # one long wait says as much as a hundred
            await asyncio.sleep(5)
        if self.fault == "no answer":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if fault == "busy":
            return web.Response(status=429)
        if fault == "garbage":
            return web.Response(body=b"\x00<html>502</html>")
        answer = await self._forward(payload)
        if fault == "half an answer":
            answer = answer[: len(answer) // 2]
        elif fault in LYING:
            answer = await self._spoiled(payload, answer)
        return web.Response(body=answer, content_type="application/json")

    async def _forward(self, payload: bytes) -> bytes:
        assert self._session is not None
        headers = {"content-type": "application/json"}
        async with self._session.post(self._upstream, data=payload, headers=headers) as response:
            return await response.read()

    async def _ask(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return orjson.loads(await self._forward(orjson.dumps(body))).get("result")

    async def _spoiled(self, payload: bytes, answer: bytes) -> bytes:
        asked, given = orjson.loads(payload), orjson.loads(answer)
        many = isinstance(asked, list)
        calls, answers = (asked, given) if many else ([asked], [given])
        by_id = {a["id"]: a for a in answers}
        head = int(await self._ask("eth_blockNumber"), 16)
        for call in calls:
            entry = by_id[call["id"]]
            if "result" in entry:
                entry["result"] = await self._lie(call, entry["result"], head)
        return orjson.dumps(answers if many else answers[0])

    async def _lie(self, call: Call, result: Any, head: int) -> Any:
        method = call["method"]
        match self.fault:
            case "lags":
                return await self._behind(call, result, head - LAG)
            case "omits logs":
                return _without_logs(method, result)
            case "raises amounts":
                return _raised(method, result)
            case "turns status":
                return _turned(method, result)
            case "other hashes":
                return _rehashed(result)
            case "invents a transfer":
                return self._with_more(method, result)
            case "raises the head" if method == "eth_blockNumber":
                return hex(head + 50)
            case "raises balances" if method in ("eth_getBalance", "eth_call"):
                return hex(int(result, 16) + 777) if method == "eth_getBalance" else _plus(result)
        return result

    async def _behind(self, call: Call, result: Any, head: int) -> Any:
        """As a node that has not seen the newest blocks; logs it lacks are no error to it."""
        match call["method"]:
            case "eth_blockNumber":
                return hex(head)
            case "eth_getBlockByNumber" if call["params"][0] in ("latest", "pending"):
                return await self._ask("eth_getBlockByNumber", hex(head), call["params"][1])
            case "eth_getBlockByNumber" if result and int(result["number"], 16) > head:
                return None
            case "eth_getTransactionReceipt" if result and int(result["blockNumber"], 16) > head:
                return None
            case "eth_getLogs":
                return [x for x in result if int(x["blockNumber"], 16) <= head]
            case "trace_block" if result and result[0]["blockNumber"] > head:
                return []
        return result

    def _with_more(self, method: str, result: Any) -> Any:
        if not self.invented or not result:
            return result
        if method == "eth_getLogs":
            return [*result, {**result[-1], **self._event(result[-1])}]
        if method == "eth_getTransactionReceipt" and result.get("logs"):
            last = result["logs"][-1]
            return {**result, "logs": [*result["logs"], {**last, **self._event(last)}]}
        return result

    def _event(self, beside: Call) -> Call:
        to = "0x" + self.invented["to"][2:].lower().rjust(64, "0")
        return {
            "address": self.invented["token"],
            "topics": [TRANSFER, "0x" + "77".rjust(64, "0"), to],
            "data": "0x" + f"{int(self.invented['amount']):064x}",
            "logIndex": hex(int(beside["logIndex"], 16) + 1),
        }


def _without_logs(method: str, result: Any) -> Any:
    if method in ("eth_getLogs", "trace_block", "trace_transaction"):
        return []
    if method == "eth_getTransactionReceipt" and result:
        return {**result, "logs": []}
    return result


def _raised(method: str, result: Any) -> Any:
    match method:
        case "eth_getLogs":
            return [{**x, "data": _plus(x["data"])} for x in result]
        case "eth_getTransactionReceipt" if result:
            return {**result, "logs": [{**x, "data": _plus(x["data"])} for x in result["logs"]]}
        case "eth_getTransactionByHash" if result:
            return {**result, "value": _plus(result["value"])}
        case "eth_getBlockByNumber" if result:
            bodies = [
                {**t, "value": _plus(t["value"])} if isinstance(t, dict) else t
                for t in result["transactions"]
            ]
            return {**result, "transactions": bodies}
        case "trace_block" | "trace_transaction":
            for trace in result or ():
                if "value" in trace["action"]:
                    trace["action"]["value"] = _plus(trace["action"]["value"])
    return result


def _plus(quantity: str) -> str:
    """The same width, another number; what is no single word stays."""
    if not 3 <= len(quantity) <= 66:
        return quantity
    raised = int(quantity, 16) + 1_000_003
    return "0x" + f"{raised:0{len(quantity) - 2}x}" if len(quantity) == 66 else hex(raised)


def _turned(method: str, result: Any) -> Any:
    if method == "eth_getTransactionReceipt" and result:
        return {**result, "status": "0x0" if result["status"] == "0x1" else "0x1"}
    return result


def _rehashed(result: Any) -> Any:
    """Every block hash is another one."""
    if isinstance(result, list):
        return [_rehashed(x) for x in result]
    if not isinstance(result, dict):
        return result
    changed = dict(result)
    names = ("blockHash", "hash", "parentHash") if "parentHash" in result else ("blockHash",)
    for name in names:
        if isinstance(result.get(name), str):
            changed[name] = result[name][:-4] + "beef"
    if "logs" in result:
        changed["logs"] = _rehashed(result["logs"])
    return changed
