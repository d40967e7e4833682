"""The router's world with a simulated exchange behind its real client: wire, signature, faults.

The exchange's chain is the world's: what the guard releases arrives there, what it withdraws is
paid to the guard. Time stands still in its book, so that no reward blurs an amount.
"""

import base64
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

from aiohttp import web

from chains.devnet.exchange_book import (
    Book,
    Coin,
    Deposit,
    DepositStatus,
    WithdrawalStatus,
)
from chains.devnet.exchange_faults import Faults
from chains.devnet.exchange_simulator import Exchange, default_products
from chains.devnet.kraken_book import Earnings
from chains.devnet.kraken_simulator import KrakenExchange, default_strategies
from chains.evm.address import checksum
from chains.types import BlockRef
from custody.core.db import Database
from router.deps import RouterDeps
from router.venues.cefi.binance import Binance
from router.venues.cefi.kraken import Kraken
from router.venues.exchange import ExchangeVenue
from router.venues.port import VenueState
from tests.router.pool_world import Site
from tests.router.world import EXCHANGE, EXCHANGE_IN, GUARD, SITE, TOKEN, TREASURY, World

KEY, SECRET = "tests", "not a secret: tests only"
PRODUCTS = {"binance": "USDC001", "kraken": "ESUSDC-INSTA-SIMUL1"}
WAYS = {"binance": "ETH", "kraken": "guard"}
COINS = {"USDC": Coin("USDC", 6, TOKEN), "ETH": Coin("ETH", 18, None)}
VENUE = "exchange-usdc"


class WorldChain:
    """Stands in for ExchangeChain: blocks are the world's."""

    address, confirmations = EXCHANGE_IN, 1

    def __init__(self, world: "ExchangeWorld") -> None:
        self.world = world

    async def sync(self, book: Book) -> None:
        for tx_hash, amount in self.world.sent:
            deposit = Deposit(str(len(book.deposits)), "USDC", amount, tx_hash, 1, 0)
            book.deposits.append(deposit)
            book.credit(deposit)
        self.world.sent = []
        for withdrawal in book.withdrawals:
            if withdrawal.status is WithdrawalStatus.PROCESSING and not book.faults.frozen:
                withdrawal.tx_hash = self.world.pay_guard(withdrawal.address, withdrawal.amount)
                withdrawal.status = WithdrawalStatus.COMPLETED


class QuotedNow:
    """The exchange's venue; what it quotes is of the world's time, as its clients' clock is not."""

    def __init__(self, world: "ExchangeWorld") -> None:
        self.clock = world.clock
        self.venue = ExchangeVenue(world.client_of_exchange, "USDC", world.product, 6)
        self.value, self.shares_for = self.venue.value, self.venue.shares_for

    async def read(self, block: BlockRef) -> VenueState:
        state = await self.venue.read(block)
        now = self.clock.now()
        return replace(state, quotes=tuple(replace(q, as_of=now) for q in state.quotes))


class ExchangeWorld(World):
    """`kind` names the wire format. `taken` counts the orders that the exchange took, by call."""

    def __init__(self, db: Database, kind: str) -> None:
        super().__init__(db)
        self.kind, self.product = kind, PRODUCTS[kind]
        config = {**EXCHANGE, "product": self.product, "network": WAYS[kind]}
        kinds = {**SITE.venues, VENUE: ("exchange", SITE.venues[VENUE][1], config)}
        self.site: Site = replace(SITE, venues=kinds)
        self.extra = self._asked = 0
        self.sent: list[tuple[str, int]] = []
        self.taken: Counter[str] = Counter()
        chain = cast(Any, WorldChain(self))
        products = default_products(COINS) if kind == "binance" else default_strategies(COINS)
        self.book = Book(COINS, products, {}, free=dict.fromkeys(COINS, 0))
        self.exchange: Exchange | KrakenExchange
        if kind == "binance":
            self.exchange = Exchange(KEY, SECRET, self.book, chain, wall_ms=self._now_ms)
        else:
            secret, keys = base64.b64encode(SECRET.encode()).decode(), {"guard": GUARD}
            self.exchange = KrakenExchange(
                KEY, secret, self.book, chain, keys, Earnings(self.book, lag=9)
            )

    def _now_ms(self) -> int:
        return int(self.clock.now().timestamp()) * 1_000

    def _now_us(self) -> int:
        """Never the same twice: it is a nonce."""
        self._asked += 1
        return self._now_ms() * 1_000 + self._asked

    @property
    def faults(self) -> Faults:
        return self.book.faults

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["ExchangeWorld"]:
        app = self.exchange.app()
        app.middlewares.append(self._count)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        client: Binance | Kraken
        if isinstance(self.exchange, KrakenExchange):
            client = Kraken(url, KEY, self.exchange.api_secret, self._now_us)
        else:
            client = Binance(url, KEY, SECRET.encode(), self._now_ms)
        self.client_of_exchange = client
        self.deps = replace(self.deps, exchanges={"simulated": client})
        try:
            yield self
        finally:
            await client.close()
            await runner.cleanup()

    @web.middleware
    async def _count(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        answer = await handler(request)
        text = cast(web.Response, answer).text or ""
        if answer.status == 200 and ('"error":[]' in text or self.kind == "binance"):
            self.taken[request.path.rsplit("/", 1)[-1]] += 1
        return answer

    def adapter(self, deps: RouterDeps, pool: Any, row: Any) -> Any:
        if row.id == VENUE:
            return QuotedNow(self)
        return super().adapter(deps, pool, row)

    def _release(self, payee: str, amount: int) -> None:
        self.idle -= amount
        assert self.idle >= 0
        if checksum(payee) == TREASURY:
            self.treasury += amount
        else:
            assert payee == EXCHANGE_IN
            self.sent.append(("0x" + f"{self.seen + 1:064x}", amount))

    @property
    def subscribed(self) -> int:
        position = self.book.positions.get(self.product)
        return 0 if position is None else position.total

    @property
    def at_exchange(self) -> int:
        """All that it has of ours, whatever it says; nothing of a withdrawal that was sent."""
        held = sum(
            w.amount + w.fee
            for w in self.book.withdrawals
            if w.status is WithdrawalStatus.PROCESSING
        )
        waiting = sum(d.amount for d in self.book.deposits if d.status is DepositStatus.PENDING)
        arriving = sum(amount for _, amount in self.sent)
        if isinstance(self.exchange, KrakenExchange):
            waiting += self.exchange.earnings.waiting(self.product)
        return self.subscribed + self.book.free["USDC"] + held + waiting + arriving

    async def age(self, seconds: int) -> None:
        """Let the database's time pass for every leg."""
        async with self.db.write() as s:
            await s.execute(
                "UPDATE legs SET updated_at = updated_at - make_interval(secs => :s)",
                {"s": seconds},
            )
