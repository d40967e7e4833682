"""A simulator of a node for the scan bench: serves ready-made JSON in the real wire form.

A process of its own: `python -m scripts.benches.scan_node`. It prints its port once it serves.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from scripts.benches import scan_chain as chain


class Node:
    """Results of each method as JSON, made before the first request."""

    def __init__(self, count: int) -> None:
        self.head = count
        self.full: dict[int, bytes] = {}
        self.bare: dict[int, bytes] = {}
        self.traced: dict[int, bytes] = {}
        self.receipts: dict[int, bytes] = {}
        self.logs: dict[int, dict[str, list[bytes]]] = {}
        self.receipt: dict[str, bytes] = {}
        self.numbers: dict[str, int] = {}
        for number in range(count + 1):
            self._make(number)

    def _make(self, number: int) -> None:
        block, made = chain.block(number), chain.transfers(number)
        self.full[number] = orjson.dumps(block)
        hashes = [t.hash for t in made]
        self.bare[number] = orjson.dumps({**block, "transactions": hashes})
        self.numbers[block["hash"]] = number
        self.traced[number] = orjson.dumps([x for t in made for x in chain.traces(t)])
        receipts = [orjson.dumps(chain.receipt(t)) for t in made]
        self.receipt.update(zip(hashes, receipts, strict=True))
        self.receipts[number] = _list(receipts)
        by_token: dict[str, list[bytes]] = {}
        for t in made:
            if t.token is not None:
                by_token.setdefault(t.token, []).append(orjson.dumps(chain.log(t, t.token)))
        self.logs[number] = by_token

    def result(self, method: str, params: list[Any]) -> bytes:
        match method:
            case "eth_chainId":
                return orjson.dumps(hex(chain.CHAIN_ID))
            case "eth_blockNumber":
                return orjson.dumps(hex(self.head))
            case "eth_getBlockByNumber":
                known = self.full if params[1] else self.bare
                return known.get(_number(params[0]), b"null")
            case "eth_getBlockReceipts":
                return self.receipts[_number(params[0])]
            case "eth_getTransactionReceipt":
                return self.receipt.get(params[0], b"null")
            case "trace_block":
                return self.traced[_number(params[0])]
            case "eth_getLogs":
                return self._logs(params[0])
        raise ValueError(f"no method {method}")

    def _logs(self, query: Mapping[str, Any]) -> bytes:
        if "blockHash" in query:
            numbers = range(self.numbers[query["blockHash"]], self.numbers[query["blockHash"]] + 1)
        else:
            numbers = range(_number(query["fromBlock"]), _number(query["toBlock"]) + 1)
        wanted = [a.lower() for a in query["address"]]
        return _list([x for n in numbers for a in wanted for x in self.logs[n].get(a, ())])

    async def answer(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        calls = body if isinstance(body, list) else [body]
        parts = [
            b'{"jsonrpc":"2.0","id":%d,"result":%b}'
            % (call["id"], self.result(call["method"], call["params"]))
            for call in calls
        ]
        whole = _list(parts) if isinstance(body, list) else parts[0]
        return web.Response(body=whole, content_type="application/json")


def _number(text: str) -> int:
    return int(text, 16)


def _list(parts: list[bytes]) -> bytes:
    return b"[" + b",".join(parts) + b"]"


async def _serve() -> None:
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/", Node(chain.BLOCKS).answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
