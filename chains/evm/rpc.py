"""JSON-RPC over HTTP to one endpoint: bytes out, checked JSON in, and a breaker.

An answer counts only if it is whole JSON, carries our id, and holds a result or an error.
"""

import asyncio
import gc
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from chains.errors import CallReverted, RpcRefused, RpcUnavailable

ANSWER_BYTES_MAX = 64 * 1024 * 1024
BREAKER_FAILURES = 5
BREAKER_OPEN_S = 10
_REVERT_CODE = 3

Params = Sequence[Any]


@dataclass(frozen=True, slots=True)
class RpcError:
    """The error member of an answer."""

    code: int
    message: str
    data: str

    def raised(self) -> RpcRefused:
        """The exception for a read. A revert is the contract's word, not the node's."""
        data = _hex_bytes(self.data)
        if self.code == _REVERT_CODE or "revert" in self.message.lower():
            return CallReverted(self.message, self.code, data)
        return RpcRefused(self.message, self.code, data)


class NotSent(RpcUnavailable):
    """The request never left: the connection was refused. The one harmless failure of a send."""


class Endpoint:
    """One node. After several failures in a row it is passed over for a while."""

    def __init__(
        self, url: str, timeout_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.url = url
        self.failures = 0
        self._open_until = 0.0
        self._monotonic = monotonic
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._ids = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def healthy(self) -> bool:
        return self._monotonic() >= self._open_until

    async def request(self, method: str, params: Params) -> Any:
        """The result, or RpcError. Raises RpcUnavailable (NotSent if it never left)."""
        return (await self.batch([(method, params)]))[0]

    async def batch(self, calls: Sequence[tuple[str, Params]]) -> list[Any]:
        """A result or RpcError for each call, in order. Raises RpcUnavailable."""
        ids = [next(self._ids) for _ in calls]
        body = [
            {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}
            for id_, (method, params) in zip(ids, calls, strict=True)
        ]
        payload = orjson.dumps(body[0] if len(body) == 1 else body)
        try:
            answers = _answers(await self._post(payload), ids)
        except RpcUnavailable:
            self._failed()
            raise
        self.failures = 0
        return answers

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, payload: bytes) -> bytes:
        headers = {"content-type": "application/json"}
        try:
            async with self._client().post(self.url, data=payload, headers=headers) as response:
                if response.status != 200:
                    raise RpcUnavailable(f"endpoint answered {response.status}")
                return await _read(response)
        except aiohttp.ClientConnectorError as error:
            raise NotSent("endpoint refused the connection") from error
        except TimeoutError as error:
            raise RpcUnavailable("endpoint did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise RpcUnavailable(f"endpoint broke off: {type(error).__name__}") from error

    def _client(self) -> aiohttp.ClientSession:
        """A session belongs to one event loop; a client may be built before any runs."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop or self._session.closed:
            self._session = aiohttp.ClientSession(timeout=self._timeout, trust_env=False)
            self._loop = loop
        return self._session

    def _failed(self) -> None:
        self.failures += 1
        if self.failures >= BREAKER_FAILURES:
            self._open_until = self._monotonic() + BREAKER_OPEN_S


async def _read(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(256 * 1024):
        size += len(chunk)
        if size > ANSWER_BYTES_MAX:
            raise RpcUnavailable("answer is too large")
        chunks.append(chunk)
    return b"".join(chunks)


def _answers(body: bytes, ids: Sequence[int]) -> list[Any]:
    """Order the answers by our ids. Anything missing or foreign spoils all of them."""
    try:
        parsed = _loads(body)
    except orjson.JSONDecodeError as error:
        raise RpcUnavailable("answer is not JSON") from error
    answers = parsed if isinstance(parsed, list) else [parsed]
    if not all(isinstance(a, dict) for a in answers):
        raise RpcUnavailable("answer is not JSON-RPC")
    by_id = {a.get("id"): a for a in answers if isinstance(a.get("id"), int)}
    if len(answers) != len(ids) or any(id_ not in by_id for id_ in ids):
        raise RpcUnavailable("answer is for another question")
    return [_result(by_id[id_]) for id_ in ids]


def _loads(body: bytes) -> Any:
    """What is parsed holds no cycles: the collector, which would only walk it again and again
    meanwhile, rests. That saves a fifth of a block's cost."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        if collects:
            gc.enable()


def _result(answer: dict[str, Any]) -> Any:
    error = answer.get("error")
    if isinstance(error, dict):
        code, message, data = error.get("code"), error.get("message"), error.get("data")
        return RpcError(
            code if isinstance(code, int) else 0,
            message if isinstance(message, str) else "",
            data if isinstance(data, str) else "",
        )
    if error is not None or "result" not in answer:
        raise RpcUnavailable("answer has neither a result nor an error")
    return answer["result"]


def _hex_bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return b""
