"""Several endpoints of one chain as one: failover, and a quorum for money reads."""

import asyncio
import copy
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

from chains.errors import (
    CallReverted,
    ChainError,
    RpcDisagreement,
    RpcRefused,
    RpcUnavailable,
)
from chains.evm.rpc import Endpoint, Params, RpcError

T = TypeVar("T")
NONSENSE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
"""What reading an answer of the wrong shape may raise: the fault of one endpoint, never of all."""
Calls = Sequence[tuple[str, Params]]


class Endpoints:
    """`quorum` endpoints must give the same answer to a read that money rests on."""

    def __init__(
        self, chain_id: int, urls: Sequence[str], timeout_s: float = 10, quorum: int = 1
    ) -> None:
        if not urls or not 1 <= quorum <= len(urls):
            raise ValueError(f"chain {chain_id}: {len(urls)} endpoints for a quorum of {quorum}")
        self.chain_id = chain_id
        self.quorum = quorum
        self._outvoted = [0]  # one count, which `elsewhere` shares
        self.endpoints = tuple(Endpoint(url, timeout_s) for url in urls)

    @property
    def disagreements(self) -> int:
        """Answers that lost against a quorum; watched by the alarm."""
        return self._outvoted[0]

    async def close(self) -> None:
        for endpoint in self.endpoints:
            await endpoint.close()

    def elsewhere(self) -> Self:
        """The same endpoints, asked in the other order: a second opinion where there are two."""
        other = copy.copy(self)
        other.endpoints = self.endpoints[::-1]
        return other

    async def request(self, method: str, params: Params = ()) -> Any:
        """The first usable answer. Raises RpcUnavailable, RpcRefused, CallReverted."""
        return (await self.batch([(method, params)]))[0]

    async def batch(self, calls: Calls) -> list[Any]:
        """Results in order, all from one endpoint. Raises as `request` does, for any of them."""
        if not calls:
            return []
        last: ChainError = RpcUnavailable("no endpoint", chain_id=self.chain_id)
        for endpoint in self._by_health():
            try:
                return _results(await endpoint.batch(calls))
            except CallReverted:
                raise  # the contract's answer: another node would say the same
            except (RpcUnavailable, RpcRefused) as error:
                last = error  # a node that lags or prunes refuses what another one knows
        raise last

    async def agreed(self, calls: Calls, read: Callable[[list[Any]], T]) -> T:
        """What `quorum` endpoints say alike, after `read` (which raises ValueError on nonsense).

        Raises RpcDisagreement if endpoints contradict each other and none has a quorum.
        """
        if self.quorum == 1:
            return await self._first(calls, read)
        answers = await asyncio.gather(*(self._ask(e, calls, read) for e in self.endpoints))
        given = [a for a in answers if not isinstance(a, ChainError)]
        # More than half of those that answered, too: of two camps of two, neither is believed.
        for answer in given:
            if given.count(answer) >= max(self.quorum, len(given) // 2 + 1):
                self._outvoted[0] += len(given) - given.count(answer)
                return answer
        raise self._no_quorum(calls[0][0], given, answers)

    async def verified(self, calls: Calls, read: Callable[[list[Any]], T]) -> T:
        """The first answer that `read` lets through: for what proves itself, one is enough.

        `read` raises ValueError on what does not hold; then the next endpoint is asked.
        """
        return await self._first(calls, read)

    def _by_health(self) -> list[Endpoint]:
        """Healthy ones first, in the order of the settings; broken ones only as a last resort."""
        return sorted(self.endpoints, key=lambda e: not e.healthy)

    async def _first(self, calls: Calls, read: Callable[[list[Any]], T]) -> T:
        last: ChainError = RpcUnavailable("no endpoint", chain_id=self.chain_id)
        for endpoint in self._by_health():
            answer = await self._ask(endpoint, calls, read)
            if isinstance(answer, CallReverted):
                raise answer
            if not isinstance(answer, ChainError):
                return answer
            last = answer
        raise last

    async def _ask(
        self,
        endpoint: Endpoint,
        calls: Calls,
        read: Callable[[list[Any]], T],
    ) -> T | ChainError:
        """One endpoint's answer, or why it has none."""
        try:
            return read(_results(await endpoint.batch(calls)))
        except ChainError as error:
            return error
        except NONSENSE as error:
            return RpcUnavailable(f"endpoint answered nonsense: {error}", chain_id=self.chain_id)

    def _no_quorum(self, method: str, given: list[T], answers: Sequence[object]) -> ChainError:
        """What fits: a revert that enough report, a contradiction, or silence."""
        reverts = [a for a in answers if isinstance(a, CallReverted)]
        if any(a != given[0] for a in given[1:]) or (given and reverts):
            return RpcDisagreement(f"endpoints disagree on {method}", chain_id=self.chain_id)
        if len(reverts) >= self.quorum:
            return reverts[0]
        return RpcUnavailable(f"too few endpoints answer {method}", chain_id=self.chain_id)


def _results(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, RpcError):
            raise answer.raised()
    return answers
