"""The load generator: raw HTTP/1.1 over asyncio protocols, in a process of its own.

A job as JSON on standard input, the result as JSON on standard output. A client library would
cost more CPU than the server it measures.
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass, field
from functools import partial

KEY = b"{key____________________________}"  # as long as what replaces it: 32 digits and a letter


@dataclass
class Tally:
    latencies_ns: list[int] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)


class Connection(asyncio.Protocol):
    """Sends one request, waits for its answer, sends the next, until told to stop."""

    def __init__(self, template: bytes, tally: Tally) -> None:
        self._template = template
        self._tally = tally
        self._buffer = b""
        self._keyed = KEY in template
        self._started = 0
        self.running = True
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        request = self._template
        if self._keyed:
            request = request.replace(KEY, b"k" + os.urandom(16).hex().encode())
        self._started = time.perf_counter_ns()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._buffer.lower().index(b"content-length:") + 15
        length = int(self._buffer[at : self._buffer.index(b"\r\n", at)])
        if len(self._buffer) < head + 4 + length:
            return
        status = self._buffer[9:12].decode()
        self._tally.statuses[status] = self._tally.statuses.get(status, 0) + 1
        self._tally.latencies_ns.append(time.perf_counter_ns() - self._started)
        self._buffer = b""
        if self.running:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def run(port: int, templates: list[bytes], seconds: float) -> tuple[Tally, float]:
    tally, loop = Tally(), asyncio.get_running_loop()
    connections = []
    started = time.perf_counter()
    for template in templates:
        _, connection = await loop.create_connection(
            partial(Connection, template, tally), "127.0.0.1", port
        )
        connections.append(connection)
    await asyncio.sleep(seconds)
    for connection in connections:
        connection.running = False
    await asyncio.wait_for(asyncio.gather(*(c.done for c in connections)), 10)
    return tally, time.perf_counter() - started


def main() -> None:
    job = json.load(sys.stdin)
    templates = [t.encode() for t in job["templates"]]
    tally, seconds = asyncio.run(run(job["port"], templates, job["seconds"]))
    ordered = sorted(tally.latencies_ns)
    count = len(ordered)
    result = {
        "count": count,
        "seconds": seconds,
        "p50_ns": ordered[count // 2],
        "p99_ns": ordered[min(count - 1, count * 99 // 100)],
        "statuses": tally.statuses,
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
