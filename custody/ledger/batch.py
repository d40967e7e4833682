"""Group commit: concurrent callers share one SQL call and one commit.

Callers queue a unit and await its own answer. Whatever is queued goes in one call; while it is in
the database the next one gathers. Batches so grow with the load by themselves, and nothing ever
waits for a timer. Two calls may be under way: one is in the database while the answers of the other
are handed out.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

import asyncpg

from custody.core.errors import InvalidInput, MoorageError, Overloaded, Unavailable
from custody.core.native import connect, positional
from custody.ledger import posting
from custody.ledger.posting import Outcome, Result, Transfer

logger = logging.getLogger(__name__)

BATCH_MAX = 4_000
QUEUE_MAX = 20_000
"""Transfers that may wait: about a second's work. Beyond it callers are told to come again."""
CONNECTIONS = 2
SPLIT_MIN = 64
"""Waiting transfers from which on a second call goes beside the first. Fewer are better off in one
commit than in two."""
RETRY_S = 30
"""For how long a call is sent again when the database does not answer."""
PAUSE_MAX_MS = 1_000
FENCED = "LG001"
_CALL, _ = positional(posting.CALL)
# The call itself was sound, and nothing of it is stored: the same call again.
_RETRIED = frozenset({"40001", "40P01", "55P03"})
# The server went away or is not there yet: what became of the call is not known.
_LOST_CLASSES = ("08", "57", "53")
_READ_ONLY = "25006"  # a standby, while another server takes over
ANSWER_S = 10
"""A server that is gone without a word is given up after so long; so is a wait for a lock."""

_NONE: frozenset[object] = frozenset()

Payload = TypeVar("Payload")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class _Unit(Generic[Payload, Answer]):
    """What one caller waits for. `size` counts transfers; `keys` may stand once in a call. What was
    not sent by `send_by_ns`, of the monotonic clock, is not sent any more."""

    payload: Payload
    size: int
    keys: frozenset[object]
    answer: asyncio.Future[Answer]
    send_by_ns: int


class GroupCommit(Generic[Payload, Answer]):
    """The queue and the calls of one kind. `call` sends one batch and gives an answer a payload.

    A call must be repeatable: after a lost connection the same batch is sent again (`call` is told
    so), and what had been committed answers as it did. A payload that the database cannot take
    fails alone: the batch is halved until it stands by itself.
    """

    def __init__(
        self,
        url: str,
        call: Callable[[Any, Sequence[Payload], bool], Coroutine[Any, Any, Sequence[Answer]]],
        *,
        connections: int = CONNECTIONS,
        batch_max: int = BATCH_MAX,
        queue_max: int = QUEUE_MAX,
        retry_s: int = RETRY_S,
    ) -> None:
        self._url = url
        self._call = call
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._retry_s = retry_s
        self._queue: deque[_Unit[Payload, Answer]] = deque()
        self._idle: list[_Line] = [_Line(url) for _ in range(connections)]
        self._lines = list(self._idle)
        self._queued = 0
        self._under_way = 0
        self._runs: set[asyncio.Task[None]] = set()
        self._closed = False

    async def submit(
        self, payload: Payload, size: int, keys: frozenset[object] = frozenset()
    ) -> Answer:
        """The answer to `payload`. Raises Overloaded, or Unavailable when its outcome is unknown.

        Requires that payloads of one batch do not share a key; those that do go one after another.
        """
        if self._closed:
            raise Unavailable("the ledger's batcher is closed")
        if self._queued and self._queued + size > self._queue_max:
            raise Overloaded(f"{self._queued} transfers wait already", retry_after_s=1)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        unit = _Unit(payload, size, keys, answer, time.monotonic_ns() + self._retry_s * 10**9)
        self._queue.append(unit)
        self._queued += size
        resting = len(self._idle) == len(self._lines)
        if resting or (self._idle and self._queued >= SPLIT_MIN):
            self._start(self._idle.pop())
        return await answer

    async def close(self) -> None:
        """Take nothing more, let what is queued end, close the connections."""
        self._closed = True
        while self._runs:
            await asyncio.wait(set(self._runs))
        for line in self._lines:
            await line.close()

    def _start(self, line: "_Line") -> None:
        run = asyncio.get_running_loop().create_task(self._run(line))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)

    async def _run(self, line: "_Line") -> None:
        """Batches on one connection until the queue is empty."""
        try:
            while batch := self._take():
                size = sum(unit.size for unit in batch)
                self._under_way += size
                try:
                    await self._answer(line, batch)
                finally:
                    self._under_way -= size
        finally:
            self._idle.append(line)

    def _take(self) -> list[_Unit[Payload, Answer]]:
        """What goes in the next call: an even share of all that is under way or waits.

        Taking everything would leave the other connection with nothing while this one is busy.
        """
        share = -(-(self._queued + self._under_way) // len(self._lines))
        limit = min(max(share, SPLIT_MIN), self._batch_max)
        batch: list[_Unit[Payload, Answer]] = []
        aside: list[_Unit[Payload, Answer]] = []
        keys: set[object] = set()
        size = 0
        now_ns = time.monotonic_ns()
        while self._queue and len(aside) < limit:
            unit = self._queue[0]
            if batch and size + unit.size > limit:
                break
            self._queue.popleft()
            if unit.keys:
                if batch and keys & unit.keys:  # goes in the next call
                    aside.append(unit)
                    continue
                keys |= unit.keys
            self._queued -= unit.size
            if unit.answer.done():  # its caller has gone away
                continue
            if now_ns > unit.send_by_ns:
                unit.answer.set_exception(
                    Overloaded("nothing of this was sent to the database in time", retry_after_s=1)
                )
                continue
            batch.append(unit)
            size += unit.size
        self._queue.extendleft(reversed(aside))
        return batch

    async def _answer(self, line: "_Line", batch: list[_Unit[Payload, Answer]]) -> None:
        try:
            answers = await self._send(line, [unit.payload for unit in batch])
        except Exception as error:
            if isinstance(error, MoorageError) or len(batch) == 1:
                for unit in batch:
                    if not unit.answer.done():
                        unit.answer.set_exception(_public(error))
                return
            middle = len(batch) // 2
            await self._answer(line, batch[:middle])
            await self._answer(line, batch[middle:])
            return
        for unit, answer in zip(batch, answers, strict=True):
            if not unit.answer.done():
                unit.answer.set_result(answer)

    async def _send(self, line: "_Line", payloads: Sequence[Payload]) -> Sequence[Answer]:
        """The answers, after however many tries; the batch and its ids stay the same."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._retry_s
        pause_ms = 5
        again = False
        while True:
            try:
                return await self._call(await line.connection(), payloads, again)
            except (asyncpg.PostgresError, *_BROKEN) as error:
                if not _transient(error):
                    raise
                if isinstance(error, _BROKEN) or _lost(error):
                    line.drop()
                if loop.time() > deadline:
                    raise Unavailable(
                        "the ledger's database does not answer; whether this was posted is not"
                        " known: send it again with the same ids"
                    ) from error
                logger.warning("a batch is sent again", extra={"error": error})
                again = True
                pause = timedelta(milliseconds=random.randrange(1, 1 + pause_ms))  # noqa: S311
                await asyncio.sleep(pause.total_seconds())
                pause_ms = min(2 * pause_ms, PAUSE_MAX_MS)


_BROKEN = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""After these nothing is known about the connection. The second is how asyncpg says that its own
state is in disorder, as after an answer that came while a call was being given up."""


class _Line:
    """One connection, opened when it is needed and again when it was lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None

    async def connection(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, command_timeout=ANSWER_S)
        return self._connection

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


def _lost(error: Exception) -> bool:
    state = str(getattr(error, "sqlstate", ""))
    return state.startswith(_LOST_CLASSES) or state == _READ_ONLY


def _transient(error: Exception) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        return _lost(error) or error.sqlstate in _RETRIED or error.sqlstate == FENCED
    # asyncpg also has an InterfaceError for values that it cannot encode: those come with a cause.
    return not isinstance(error, asyncpg.DataError) and not isinstance(error, ValueError)


def _public(error: Exception) -> Exception:
    """A call's error as the caller of one unit should see it."""
    unstorable = str(getattr(error, "sqlstate", "")).startswith("22")
    if unstorable or isinstance(error, ValueError | TypeError | OverflowError):
        return InvalidInput("transfers", f"must be what the ledger can store: {error}")
    return error


class Epoch:
    """Under which epoch this process batches for the shard; None: under row locks alone.

    Shared by the batchers of a process and kept by `custody/ledger/shard.py`.
    """

    def __init__(self) -> None:
        self.value: int | None = None
        self.lost = asyncio.Event()

    def begin(self, value: int) -> None:
        self.value = value
        self.lost.clear()

    def end(self) -> None:
        self.value = None
        self.lost.set()

    async def fenced(self, call: Coroutine[Any, Any, Any]) -> Any:
        """`call`; refused because another process batches now, this one goes on without."""
        try:
            return await call
        except asyncpg.PostgresError as error:
            if error.sqlstate == FENCED:
                logger.warning("fenced off", extra={"epoch": self.value})
                self.end()
            raise


class Batcher:
    """Posts ledger-only transfers by group commit. Built once a process, in the wiring.

    With an epoch it batches for the shard: a call under an older epoch than the shard's is
    refused, and goes again without one, as any other process posts.
    """

    def __init__(self, url: str, epoch: Epoch | None = None, **options: int) -> None:
        self._epoch = epoch or Epoch()
        self._commit: GroupCommit[Sequence[Transfer], list[Result]] = GroupCommit(
            url, self._call, **options
        )
        self._whole = True

    async def post(self, transfers: Sequence[Transfer]) -> list[Result]:
        """Post in order; one result each. Stored when this returns, with whatever else was posted.

        Raises InvalidInput for what cannot be a transfer, Overloaded when too much waits already,
        Unavailable when the outcome is not known: ask again with the same ids.
        """
        if not transfers:
            return []
        posting.check(transfers)
        return await self._commit.submit(transfers, len(transfers), groups_of(transfers))

    async def post_or_raise(self, transfers: Sequence[Transfer]) -> list[Result]:
        """Post all, or raise for the first that is refused. What is not of its group is stored."""
        return posting.raise_refused(transfers, await self.post(transfers))

    async def close(self) -> None:
        await self._commit.close()

    async def _call(
        self, connection: Any, payloads: Sequence[Sequence[Transfer]], _again: bool
    ) -> list[list[Result]]:
        transfers = [t for payload in payloads for t in payload]
        params = posting.encode(transfers, epoch=self._epoch.value, whole=self._whole)
        row = await self._epoch.fenced(connection.fetchrow(_CALL, *params.values()))
        results = posting.decode(transfers, *row)
        # While something is refused in every call, trying calls whole only costs.
        self._whole = row[0] is None or all(r.outcome is Outcome.OK for r in results)
        if len(payloads) == len(transfers):
            return [[result] for result in results]
        answers, start = [], 0
        for payload in payloads:
            answers.append(results[start : start + len(payload)])
            start += len(payload)
        return answers


def groups_of(transfers: Sequence[Transfer]) -> frozenset[object]:
    """A group stands in a call once, or its members would not stand together."""
    if len(transfers) == 1 and transfers[0].group_id is None:
        return _NONE
    return frozenset(t.group_id for t in transfers if t.group_id is not None)
