"""The service and the chain under a random sequence: one worker that can be stopped at any await,
three endpoints of which some lie, and a chain that reorganises."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from chains.devnet.rpc import DevnetError, rpc
from chains.devnet.scenario import chain
from chains.errors import ChainError
from chains.evm.client import EvmClient
from chains.registry import AssetInfo, Band, Registry
from custody.core.db import Database, WriteSession
from custody.core.ids import CustomerId
from custody.core.money import erc20_asset
from custody.deposits import credit, scan
from custody.deposits.deps import DepositDeps
from custody.deposits.sweeping import job as sweeping
from custody.deposits.sweeping.rules import SweepRules
from custody.settlement import confirm, outbound
from tests.fixtures.nodes import Node
from tests.fixtures.town import ETHER, Town
from tests.properties.money_in.acts import (
    LARGE_USDC,
    LIAR,
    MINIMUM_NATIVE,
    MINIMUM_USDC,
    Outsiders,
    top_up,
)
from tests.properties.money_in.plan import REORG_MAX, Action

logger = logging.getLogger(__name__)

CREDIT_AT, LARGE_AT, SETTLED_AT = 3, 7, 12
"""Confirmations. A reorg of up to REORG_MAX takes credits back; what settlement sent is final only
below it."""
CUSTOMERS = 3
TIMEOUT_S = 2.0
FATES = {"lost": chain.Fate.LOST, "mempool": chain.Fate.MEMPOOL, "mined": chain.Fate.MINED}
assert SETTLED_AT > REORG_MAX


class Stopped(BaseException):
    """The worker is dead. No handler of the service may catch it."""


class StoppingDatabase(Database):
    """A database whose user dies at its nth commit, before or after it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.stop_at: tuple[int, bool] | None = None  # commits to come, whether before the last

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        strikes, before = False, False
        async with super().write() as s:
            yield s
            if self.stop_at is not None:
                left, before = self.stop_at
                strikes = left <= 1
                self.stop_at = None if strikes else (left - 1, before)
            if strikes and before:
                raise Stopped
        if strikes:
            raise Stopped


@dataclass
class Machine:
    """One sequence. `done` counts what has been carried out."""

    town: Town
    db: StoppingDatabase
    nodes: list[Node]
    client: EvmClient
    outsiders: Outsiders
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    stop_request: int | None = None

    async def act(self, action: Action) -> None:
        """One action; after two of three the worker goes its round."""
        more = action.more
        match action.kind:
            case "deposit" if more[0] == "operator's own":
                gas = (await self.town.role("gas")).address
                self.outsiders.pay_operator(gas, action.number)
            case "deposit":
                self.outsiders.pay(more[0], action.number)
            case "blocks":
                self.town.anvil.mine(action.number)
            case "reorg":
                self._reorg(action.number, FATES[more[0]])
            case "faults":
                await self._with_faults(action.number, more)
            case "crash":
                await self._with_stop(action.number, more[0])
            case "sweep":
                await self.round(sweep=True)
            case "spend":
                await self._spend(action.number)
            case "rebase":
                self.outsiders.rebase(more[0])
        self.done[action.kind] += 1
        for name in more:
            self.done[f"{action.kind}: {name}"] += 1
        if self.chance.random() < 2 / 3:
            await self.round(sweep=False)

    async def round(self, *, sweep: bool) -> None:
        """What the worker's jobs do, each alone: one that fails keeps no other from its turn."""
        deposits = replace(self.town.deposits, db=self.db, clients=self._clients())
        settlement = replace(self.town.settlement, db=self.db, clients=self._clients())
        chain_id = self.town.chain_id
        steps: list[Any] = [
            lambda: scan.step(deposits, chain_id),
            lambda: credit.step(deposits, chain_id),
            lambda: outbound.step(settlement),
            lambda: confirm.step(settlement),
        ]
        if sweep:
            steps.insert(2, lambda: sweeping.step(deposits, chain_id))
        for step in steps:
            try:
                await step()
            except ChainError as error:  # as the worker does: logged, and tried again
                self.done[f"failed: {type(error).__name__}"] += 1
                logger.warning("a step failed", exc_info=error)

        await self._check_depth()

    async def _check_depth(self) -> None:
        """Nothing is ever credited before its time, whatever an endpoint says the head is."""
        head = int(rpc(self.town.anvil.rpc_url, "eth_blockNumber"), 16)
        async with self.db.read() as s:
            newest = await s.scalar(
                "SELECT max(block_number) FROM deposits WHERE state = 'credited'"
            )
        assert newest is None or newest <= head - CREDIT_AT + 1, "credited too early"

    def _clients(self) -> dict[int, EvmClient]:
        return {self.town.chain_id: self.client}

    def _reorg(self, depth: int, fate: chain.Fate) -> None:
        top_up(self.town)
        try:
            chain.reorg(self.town.anvil.rpc_url, depth, fate)
        except DevnetError:
            # What was mined may not be able to be mined again: a sweep of what is not there.
            self.done["reorg: lost some"] += 1

    async def _with_faults(self, first: int, faults: tuple[str, ...]) -> None:
        usdc, to = self.town.usdc, self.chance.choice(sorted(self.outsiders.token))
        for offset, fault in enumerate(faults):
            node = self.nodes[(first + offset) % len(self.nodes)]
            node.fault = fault
            node.invented = {"token": usdc.rsplit(":", 1)[1], "to": to, "amount": "123456789"}
        self.town.anvil.mine(1)
        await self.round(sweep=True)
        await self.round(sweep=False)
        await self._mend()

    async def _mend(self) -> None:
        """All endpoints are well; those that were given up are asked at once."""
        for node in self.nodes:
            node.fault = ""
        for endpoint in self.client.endpoints:
            endpoint._open_until = 0.0
            endpoint.failures = 0

    async def _with_stop(self, number: int, how: str) -> None:
        """Stop the worker somewhere in its round; the next round is a new process's first."""
        if how == "stop at a request":
            self.stop_request = number
        else:
            self.db.stop_at = (1 + number // 8, how == "stop before a commit")
        self.town.anvil.mine(1)
        task = asyncio.create_task(self.round(sweep=True))
        self._worker = task
        try:
            await task
        except (Stopped, asyncio.CancelledError):
            self.done["stopped"] += 1
        self.stop_request, self.db.stop_at = None, None
        # A new process remembers nothing.
        old = self.town.deposits
        parts = (old.db, old.clock, old.registry, old.clients)
        self.town.deposits = DepositDeps(*parts, sweeping=old.sweeping)

    def on_request(self) -> None:
        if self.stop_request is None:
            return
        self.stop_request -= 1
        if self.stop_request <= 0:
            self.stop_request = None
            self._worker.cancel()

    async def _spend(self, units: int) -> None:
        """A customer gives another one some of what has been credited."""
        giver, taker = self.chance.sample(sorted(self.customers), 2)
        await self.town.give(giver, taker, self.town.usdc, units)

    @property
    def customers(self) -> set[CustomerId]:
        return set(self.outsiders.token.values())

    async def count_sweeps(self) -> None:
        """Into `done`: how many of each kind reached the chain."""
        async with self.db.read() as s:
            rows = await s.all(
                "SELECT kind, count(*) AS n FROM intents WHERE state = 'final' GROUP BY kind"
            )
        self.done.update({f"final: {r.kind}": r.n for r in rows})

    async def settle_down(self) -> None:
        """Everything works again and the chain goes on until nothing moves any more."""
        await self._mend()
        await self.client.close()
        # Only hangs are to run into the short limit, not what a busy machine does slowly.
        urls = [node.url for node in self.nodes]
        self.client = EvmClient(self.town.chain_id, urls, timeout_s=30, quorum=2)
        for _ in range(4):
            self.town.anvil.mine(SETTLED_AT // 2)
            await self.round(sweep=False)
        for _ in range(12):
            self.town.anvil.mine(SETTLED_AT)
            await self.round(sweep=False)
            async with self.db.read() as s:
                waiting = await s.scalar("SELECT count(*) FROM deposits WHERE state = 'seen'")
                cursor = await s.scalar("SELECT block_number FROM chain_cursors")
            if waiting == 0 and cursor == await self.client.block_number():
                return
        failed = {k: n for k, n in self.done.items() if k.startswith("failed")}
        raise AssertionError(f"{waiting} deposits wait, read up to {cursor}; {failed}")


@asynccontextmanager
async def machine(town: Town, seed: int) -> AsyncIterator[Machine]:
    """The town with three endpoints, odd tokens and rules for what is credited when."""
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        made: list[Machine] = []

        def before() -> None:
            for item in made:
                item.on_request()

        nodes = [
            await stack.enter_async_context(Node(town.anvil.rpc_url, before)) for _ in range(3)
        ]
        urls = tuple(node.url for node in nodes)
        client = EvmClient(town.chain_id, urls, timeout_s=TIMEOUT_S, quorum=2)
        db = StoppingDatabase(town.db.url)
        stack.push_async_callback(db.close)
        await _rules(town, urls)
        people = [await town.customer(f"c{i}") for i in range(CUSTOMERS)]
        native = {await town.address(c, 0): c for c in people}
        token = {await town.address(c, 1): c for c in people}
        outsiders = Outsiders(town, chance, native, token)
        # The town before had the same keys: what it sent and nobody mined would come true here.
        rpc(town.anvil.rpc_url, "anvil_dropAllTransactions")
        outsiders.prepare()
        outsiders.pay_operator((await town.role("gas")).address, 10 * ETHER)
        town.anvil.mine(REORG_MAX)
        made.append(Machine(town, db, nodes, client, outsiders, chance))
        yield made[0]
        await made[0].client.close()


async def _rules(town: Town, urls: tuple[str, ...]) -> None:
    world, odd = town.world, town.world.odd_tokens
    info = replace(
        town.registry.chain(town.chain_id),
        rpc_urls=urls,
        confirmations=SETTLED_AT,
        credit_at=CREDIT_AT,
        devnet=False,
    )
    eth, usdc = town.registry.asset(town.eth), town.registry.asset(town.usdc)
    bands = (Band(0, CREDIT_AT), Band(LARGE_USDC, LARGE_AT))
    listed: list[AssetInfo] = [
        replace(eth, minimum=MINIMUM_NATIVE),
        replace(usdc, minimum=MINIMUM_USDC, bands=bands),
    ]
    for token, measured in (
        (odd.no_return, False),
        (odd.fee_on_transfer, True),
        (odd.rebasing, True),
    ):
        asset = erc20_asset(town.chain_id, token.address)
        listed.append(
            AssetInfo(asset, town.chain_id, token.symbol, token.decimals, token.address,
                      measured=measured)
        )  # fmt: skip
    liar = erc20_asset(town.chain_id, LIAR)
    listed.append(AssetInfo(liar, town.chain_id, "LIAR", 18, LIAR))
    assert world.tokens["TDAI"].address not in {x.address for x in listed}
    registry = Registry({town.chain_id: info}, {x.asset_id: x for x in listed})
    for deps in (town.deposits, town.settlement, town.withdrawals):
        object.__setattr__(deps, "registry", registry)
    floors = {x.asset_id: 1 for x in listed if x.address}
    rules = SweepRules(amount_min=floors, batch_min=2, worth_multiple=1)
    town.deposits = replace(town.deposits, sweeping={town.chain_id: rules})
    town.registry = registry
