"""SIMULATED exchange for the devnet: HTTP on the loopback interface, Binance's wire format.

It is not Binance and knows nothing of it but the shape of requests and answers. What arrives at
its deposit address on chain is credited, rewards accrue by chain time, withdrawals are real
transfers. Its books live in memory, as long as the devnet chain does.

Rates: every unit earns `latestAnnualPercentageRate`, plus the `tierAnnualPercentageRate` of the
tier that it lies in (a bonus; none beyond the last tier). Simple, on a year of 365 days.
"""

import argparse
import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson
from aiohttp import web

from chains.devnet import exchange_wire as wire
from chains.devnet.exchange_book import Book, Coin, Product, Refused
from chains.devnet.exchange_chain import ExchangeChain, deposit_address
from chains.devnet.world import World
from chains.errors import ChainError
from chains.evm.address import checksum
from chains.evm.client import EvmClient

NETWORK = "ETH"
POLL_S = 0.25
STOCK_COINS = {"USDC": 50_000_000, "TDAI": 50_000_000, "TBTC": 1_000}
Handler = Callable[[dict[str, str]], Any]


TICKERS = {
    "USDCUSDT": "1.00000000",
    "TDAIUSDT": "1.00000000",
    "ETHUSDT": "3000.00000000",
    "WETHUSDT": "3000.00000000",
    "TBTCUSDT": "90000.00000000",
}
"""What the world's own price feeds say, as the exchange's spot market would."""


@dataclass(slots=True)
class Exchange:
    """One customer's view of the exchange; `wall_ms` is the clock that signatures are held to."""

    api_key: str
    api_secret: str = field(repr=False)
    book: Book
    chain: ExchangeChain
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    tickers: dict[str, str] = field(default_factory=lambda: dict(TICKERS))

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024)
        sapi, earn = "/sapi/v1/capital", "/sapi/v1/simple-earn/flexible"
        app.router.add_get(f"{sapi}/deposit/address", self._route(self._deposit_address))
        app.router.add_get(f"{sapi}/deposit/hisrec", self._route(self._deposits))
        app.router.add_post(f"{sapi}/withdraw/apply", self._route(self._apply))
        app.router.add_get(f"{sapi}/withdraw/history", self._route(self._withdrawals))
        app.router.add_get(f"{earn}/list", self._route(self._products))
        app.router.add_get(f"{earn}/position", self._route(self._positions))
        app.router.add_post(f"{earn}/subscribe", self._route(self._subscribe))
        app.router.add_post(f"{earn}/redeem", self._route(self._redeem))
        app.router.add_get(
            f"{sapi}/config/getall", self._route(lambda _: wire.coins(self.book, NETWORK))
        )
        app.router.add_get("/api/v3/ticker/price", self._ticker)
        app.router.add_get("/api/v3/account", self._route(lambda _: wire.account(self.book)))
        return app

    async def _ticker(self, request: web.Request) -> web.Response:
        """Public: no key and no signature. Without a symbol, all of them."""
        symbol = request.rel_url.query.get("symbol")
        if symbol is None:
            rows = [{"symbol": name, "price": price} for name, price in self.tickers.items()]
            return json_answer(rows)
        if symbol not in self.tickers:
            return json_answer({"code": -1121, "msg": "Invalid symbol."}, 400)
        return json_answer({"symbol": symbol, "price": self.tickers[symbol]})

    def _route(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def serve(request: web.Request) -> web.Response:
            call, faults = request.path.rsplit("/", 1)[-1], self.book.faults
            try:
                parameters = await self._authenticated(request)
                if faults.fails(call):
                    return json_answer({"code": -1001, "msg": "Internal error."}, 503)
                if call in faults.refused:
                    raise Refused(-6018, "The product is not open to this account.")
                async with self.lock:
                    await self.chain.sync(self.book)
                    answer = json_answer(handler(parameters))
                if faults.loses(call):
                    hang_up(request)
                return answer
            except Refused as refused:
                status = 401 if refused.code in (-2014, -2015) else 400
                return json_answer({"code": refused.code, "msg": refused.message}, status)
            except ChainError:
                return json_answer(
                    {"code": -1001, "msg": "Internal error; unable to process."}, 503
                )

        return serve

    async def _authenticated(self, request: web.Request) -> dict[str, str]:
        key = request.headers.get("X-MBX-APIKEY", "")
        if not key:
            raise Refused(-2014, "API-key format invalid.")
        if key != self.api_key:
            raise Refused(-2015, "Invalid API-key, IP, or permissions for action.")
        body = (await request.read()).decode(errors="replace")
        query = request.rel_url.raw_query_string
        return wire.check_signed(self.api_secret, query, body, self.wall_ms())

    def _deposit_address(self, parameters: dict[str, str]) -> Any:
        coin = self._coin(parameters)
        _check_network(parameters)
        return {"address": self.chain.address, "coin": coin.symbol, "tag": "", "url": ""}

    def _deposits(self, parameters: dict[str, str]) -> Any:
        return [
            wire.deposit_row(
                d, self.book.coin(d.coin), NETWORK, self.chain.address, self.chain.confirmations
            )
            for d in reversed(self.book.deposits)
            if parameters.get("coin", d.coin) == d.coin
            and parameters.get("txId", d.tx_hash) == d.tx_hash
            and parameters.get("status", str(int(d.status))) == str(int(d.status))
        ]

    def _products(self, parameters: dict[str, str]) -> Any:
        rows = [
            wire.product_row(p, self.book.coin(p.coin), self.book.faults.rate_factor)
            for p in self.book.products.values()
            if parameters.get("asset", p.coin) == p.coin
        ]
        return {"rows": rows, "total": len(rows)}

    def _positions(self, parameters: dict[str, str]) -> Any:
        rows = []
        for product_id, position in self.book.positions.items():
            product = self.book.product(product_id)
            wanted = (
                parameters.get("asset", product.coin),
                parameters.get("productId", product_id),
            )
            if wanted == (product.coin, product_id) and position.total:
                rows.append(wire.position_row(product, self.book.coin(product.coin), position))
        return {"rows": rows, "total": len(rows)}

    def _subscribe(self, parameters: dict[str, str]) -> Any:
        product = self.book.product(wire.required(parameters, "productId"))
        amount = self.book.faults.filled(self._amount(parameters, product.coin))
        self.book.subscribe(product.product_id, amount)
        return {"purchaseId": self._next_id(), "success": True}

    def _redeem(self, parameters: dict[str, str]) -> Any:
        product = self.book.product(wire.required(parameters, "productId"))
        everything = parameters.get("redeemAll", "false").lower() == "true"
        amount = None if everything else self._amount(parameters, product.coin)
        if amount is not None:
            amount = self.book.faults.filled(amount)
        self.book.redeem(product.product_id, amount)
        return {"redeemId": self._next_id(), "success": True}

    def _apply(self, parameters: dict[str, str]) -> Any:
        """Unlike the real one, requires `withdrawOrderId`: without it a retry could pay twice."""
        coin = self._coin(parameters)
        _check_network(parameters)
        try:
            address = checksum(wire.required(parameters, "address"))
        except ValueError:
            raise Refused(-4012, "The withdrawal address is not valid.") from None
        order_id = wire.required(parameters, "withdrawOrderId")
        amount = self._amount(parameters, coin.symbol)
        if self.book.faults.suspended or self.book.faults.insolvent:
            raise Refused(-4019, "The current currency is not open for withdrawal.")
        return {"id": self.book.apply(order_id, coin.symbol, address, amount).withdrawal_id}

    def _withdrawals(self, parameters: dict[str, str]) -> Any:
        return [
            wire.withdrawal_row(w, self.book.coin(w.coin), NETWORK)
            for w in reversed(self.book.withdrawals)
            if parameters.get("coin", w.coin) == w.coin
            and parameters.get("withdrawOrderId", w.order_id) == w.order_id
        ]

    def _coin(self, parameters: dict[str, str]) -> Coin:
        return self.book.coin(wire.required(parameters, "coin"))

    def _amount(self, parameters: dict[str, str], coin: str) -> int:
        return wire.from_decimal(wire.required(parameters, "amount"), self.book.coin(coin).decimals)

    def _next_id(self) -> int:
        self.book.orders += 1
        return self.book.orders


def default_products(coins: Mapping[str, Coin]) -> dict[str, Product]:
    """USDC 8 % up to 50,000, 5 % up to 200,000, 3 % above; ETH 2.5 % up to 10, then 1.5 %."""
    usdc, eth = 10 ** coins["USDC"].decimals, 10 ** coins["ETH"].decimals
    bonus = ((50_000 * usdc, 5_000_000), (200_000 * usdc, 2_000_000))
    return {
        "USDC001": Product("USDC001", "USDC", 3_000_000, bonus, usdc // 10),
        "ETH001": Product("ETH001", "ETH", 1_500_000, ((10 * eth, 1_000_000),), eth // 1000),
    }


async def open_chain(
    rpc_url: str, world: World, *, api_key: str, hot_wallet: str, confirmations: int
) -> ExchangeChain:
    """The chain side of an exchange, its hot wallet stocked. Raises ChainError."""
    coins = {"ETH": Coin("ETH", 18, None)}
    coins |= {t.symbol: Coin(t.symbol, t.decimals, t.address) for t in world.tokens.values()}
    client = EvmClient(world.chain_id, [rpc_url])
    await client.check_chain_id()
    chain = ExchangeChain(
        client=client,
        coins=coins,
        address=deposit_address(api_key),
        hot_wallet=checksum(hot_wallet),
        confirmations=confirmations,
        scanned=(await client.block("latest")).number,
    )
    stock = {s: n * 10 ** coins[s].decimals for s, n in STOCK_COINS.items() if s in coins}
    await chain.stock_up(world.accounts.whale, stock)
    return chain


async def open_exchange(
    rpc_url: str, world: World, *, api_key: str, api_secret: str, confirmations: int = 2
) -> Exchange:
    """Books and chain side; nothing listens yet. Raises ChainError."""
    chain = await open_chain(
        rpc_url, world, api_key=api_key, hot_wallet=world.accounts.exchange_hot,
        confirmations=confirmations,
    )  # fmt: skip
    book = Book(dict(chain.coins), default_products(chain.coins), withdrawal_fees={})
    return Exchange(api_key, api_secret, book, chain)


class Served(Protocol):
    """A simulated exchange, whatever its wire format."""

    book: Book
    chain: ExchangeChain
    lock: asyncio.Lock

    def app(self) -> web.Application: ...


async def _sync_forever(exchange: Served) -> None:
    """See the chain's progress also while nobody asks."""
    while True:
        with contextlib.suppress(ChainError):  # the node is away: the next round sees it
            async with exchange.lock:
                await exchange.chain.sync(exchange.book)
        await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def serving(exchange: Served, port: int = 0) -> AsyncIterator[str]:
    """Listen on the loopback interface while the block runs; yields the address."""
    runner = web.AppRunner(exchange.app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    task = asyncio.create_task(_sync_forever(exchange))
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await runner.cleanup()
        await exchange.chain.client.close()


async def run(
    rpc_url: str,
    world: World,
    port: int,
    *,
    api_key: str,
    api_secret: str,
    confirmations: int = 2,
    ready: Callable[[str], None] = print,
) -> None:
    """Serve until cancelled; `ready` is told the address."""
    exchange = await open_exchange(
        rpc_url, world, api_key=api_key, api_secret=api_secret, confirmations=confirmations
    )
    async with serving(exchange, port) as url:
        ready(url)
        await asyncio.Event().wait()


def main() -> None:
    """Key and secret come from MOORAGE_EXCHANGE_KEY and MOORAGE_EXCHANGE_SECRET."""
    parser = argparse.ArgumentParser(description="simulated exchange (devnet only)")
    parser.add_argument("--rpc", required=True)
    parser.add_argument("--world", required=True, type=Path, help="world.json of the chain")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    world = World.from_json(arguments.world.read_text())
    key, secret = os.environ["MOORAGE_EXCHANGE_KEY"], os.environ["MOORAGE_EXCHANGE_SECRET"]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(arguments.rpc, world, arguments.port, api_key=key, api_secret=secret))


def hang_up(request: web.Request) -> None:
    """Close the connection: the order was taken, its answer never arrives."""
    if request.transport is not None:
        request.transport.close()


def _check_network(parameters: dict[str, str]) -> None:
    if parameters.get("network", NETWORK) != NETWORK:
        raise Refused(-4018, "The network is not available for this coin.")


def json_answer(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


if __name__ == "__main__":
    main()
