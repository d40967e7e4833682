"""What goes wrong in a trial, as data; and how a process does it to itself."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from chains.errors import RpcUnavailable
from chains.evm.rpc import Endpoint

KILL, CUT, KILL_SIGNER = "kill", "cut the database", "kill the signer"

ERRORS = {
    "nonce too low": "nonce too low: next nonce 9, tx nonce 8",
    "already known": "already known",
    "underpriced": "replacement transaction underpriced",
}
RPC_FAULTS = (
    *("timeout before delivery", "timeout after delivery", "delivered and already known"),
    *ERRORS,
    *("wrong answer", "empty answer"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """`do` at the `nth` time that `point` is passed. For the chain, `point` is an RPC method."""

    do: str
    point: str
    nth: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def die() -> None:
    """As `kill -9`: no handler, no flush, no goodbye."""
    os.kill(os.getpid(), signal.SIGKILL)


def cut_database() -> None:
    """Shut every connection of this process to PostgreSQL; what was asked may or may not arrive."""
    for entry in Path("/proc/self/fd").iterdir():
        try:
            copy = socket.socket(fileno=os.dup(int(entry.name)))
        except OSError:
            continue
        with copy:
            try:
                peer = copy.getpeername()
            except OSError:
                continue
            if copy.family == socket.AF_UNIX and ".s.PGSQL" in str(peer):
                copy.shutdown(socket.SHUT_RDWR)


def strike(fault: Fault, note: Callable[[], None], signer_pid: Callable[[], int]) -> Any:
    """What is called at each point. `note` tells the lane that the fault is about to strike."""

    def at(point: str, before: int) -> None:
        if point != fault.point or before != fault.nth:
            return
        note()
        if fault.do == KILL:
            die()
        elif fault.do == CUT:
            cut_database()
        elif fault.do == KILL_SIGNER:
            os.kill(signer_pid(), signal.SIGKILL)

    return at


class SpoiledNode:
    """Stands in the place of an endpoint's transport: one answer is spoiled, all else passes."""

    def __init__(self, fault: Fault | None, note: Callable[[], None]) -> None:
        self.asked: Counter[str] = Counter()
        self._fault, self._note = fault, note

    def install(self) -> None:
        post = Endpoint._post

        async def spoiled(endpoint: Endpoint, payload: bytes) -> bytes:
            request = orjson.loads(payload)
            if isinstance(request, list):
                return await post(endpoint, payload)
            number = self.asked[request["method"]]
            self.asked[request["method"]] += 1
            if not self._is_it(request["method"], number):
                return await post(endpoint, payload)
            self._note()
            return await self._spoil(post, endpoint, payload, request["id"])

        setattr(Endpoint, "_post", spoiled)  # noqa: B010  mypy knows no other way

    def _is_it(self, method: str, number: int) -> bool:
        fault = self._fault
        return fault is not None and (fault.point, fault.nth) == (method, number)

    async def _spoil(self, post: Any, endpoint: Endpoint, payload: bytes, id_: int) -> bytes:
        assert self._fault is not None
        what = self._fault.do
        if what in ERRORS:
            return _error(id_, ERRORS[what])
        if what == "timeout before delivery":
            raise RpcUnavailable("endpoint did not answer in time")
        await post(endpoint, payload)
        if what == "timeout after delivery":
            raise RpcUnavailable("endpoint did not answer in time")
        if what == "delivered and already known":
            return _error(id_, ERRORS["already known"])
        if what == "wrong answer":
            return orjson.dumps({"jsonrpc": "2.0", "id": id_, "result": None})
        return b""


def _error(id_: int, message: str) -> bytes:
    error = {"code": -32000, "message": message}
    return orjson.dumps({"jsonrpc": "2.0", "id": id_, "error": error})
