"""SIMULATED exchange for the devnet: HTTP on the loopback interface, Kraken's wire format.

It is not Kraken and knows nothing of it but the shape of requests and answers; its books and its
side of the chain are those of the other simulated exchange. Private calls are POST, form-encoded,
signed, and their nonces rise; errors come with status 200 in the list `error`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from chains.devnet import kraken_wire as wire
from chains.devnet.exchange_book import Book, Coin, Product, Refused
from chains.devnet.exchange_chain import ExchangeChain
from chains.devnet.exchange_simulator import hang_up, json_answer, open_chain
from chains.devnet.exchange_wire import to_decimal
from chains.devnet.kraken_book import Earnings
from chains.devnet.world import World
from chains.errors import ChainError
from chains.evm.address import checksum

Handler = Callable[[dict[str, str]], Any]
BOOK_ERRORS = {-1121: "EQuery:Unknown asset", -6001: f"{wire.INVALID}:Invalid strategy ID",
               -4026: "EFunding:Insufficient funds", -4010: "EFunding:Invalid amount"}  # fmt: skip


@dataclass(slots=True)
class KrakenExchange:
    """One customer's view. `keys` names the addresses that were enrolled for withdrawals."""

    api_key: str
    api_secret: str = field(repr=False)
    book: Book
    chain: ExchangeChain
    keys: Mapping[str, str]
    earnings: Earnings
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    nonce: int = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024)
        calls: dict[str, Handler] = {
            "BalanceEx": self._balances,
            "DepositStatus": self._deposits,
            "WithdrawInfo": self._withdraw_info,
            "Withdraw": self._withdraw,
            "WithdrawStatus": self._withdrawals,
            "Earn/Strategies": self._strategies,
            "Earn/Allocations": self._allocations,
            "Earn/Allocate": lambda p: self._order(p, enters=True),
            "Earn/Deallocate": lambda p: self._order(p, enters=False),
            "Earn/AllocateStatus": lambda p: self._status(p, enters=True),
            "Earn/DeallocateStatus": lambda p: self._status(p, enters=False),
        }
        for name, handler in calls.items():
            app.router.add_post(f"/0/private/{name}", self._route(handler))
        app.router.add_get("/0/public/Assets", self._assets)
        return app

    def _route(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def serve(request: web.Request) -> web.Response:
            call, faults = request.path.rsplit("/", 1)[-1], self.book.faults
            try:
                async with self.lock:
                    parameters = await self._authenticated(request)
                    if faults.fails(call):
                        return json_answer({"error": ["EService:Unavailable"]}, 503)
                    if call in faults.refused:
                        raise Refused(0, "EGeneral:Permission denied")
                    await self.chain.sync(self.book)
                    self.earnings.tick()
                    answer = json_answer({"error": [], "result": handler(parameters)})
                if faults.loses(call):
                    hang_up(request)
                return answer
            except Refused as refused:
                return json_answer({"error": [BOOK_ERRORS.get(refused.code, refused.message)]})
            except ChainError:
                return json_answer({"error": ["EService:Unavailable"]}, 503)

        return serve

    async def _authenticated(self, request: web.Request) -> dict[str, str]:
        if request.headers.get("API-Key", "") != self.api_key:
            raise Refused(0, "EAPI:Invalid key")
        body, given = (await request.read()).decode(), request.headers.get("API-Sign", "")
        parameters = wire.check_signed(self.api_secret, request.path, body, given, self.nonce)
        self.nonce = int(parameters["nonce"])
        return parameters

    async def _assets(self, request: web.Request) -> web.Response:
        """Public. A suspended coin is open for deposits only."""
        coin = self.book.coins.get(request.rel_url.query.get("asset", ""))
        if coin is None:
            return json_answer({"error": ["EQuery:Unknown asset"]})
        status = "deposit_only" if self.book.faults.suspended else "enabled"
        row = {"aclass": "currency", "altname": coin.symbol, "decimals": 10, "status": status}
        return json_answer({"error": [], "result": {wire.asset_name(coin): row}})

    def _balances(self, _parameters: dict[str, str]) -> Any:
        return {
            wire.asset_name(coin): {
                "balance": to_decimal(self.book.free.get(coin.symbol, 0), coin.decimals),
                "hold_trade": to_decimal(0, coin.decimals),
            }
            for coin in self.book.coins.values()
        }

    def _deposits(self, parameters: dict[str, str]) -> Any:
        return [
            wire.deposit(d, self.book.coin(d.coin), self.chain.address)
            for d in reversed(self.book.deposits)
            if parameters.get("asset", d.coin) == d.coin
        ]

    def _strategies(self, parameters: dict[str, str]) -> Any:
        rows = [
            wire.strategy(p, self.book.coin(p.coin), self.earnings)
            for p in self.book.products.values()
            if parameters.get("asset", p.coin) == p.coin
        ]
        return {"items": rows, "next_cursor": None}

    def _allocations(self, _parameters: dict[str, str]) -> Any:
        rows = [
            wire.allocation(p, self.book.coin(p.coin), self.earnings)
            for p in self.book.products.values()
            if self.earnings.total(p.product_id) or self.earnings.pending(p.product_id)
        ]
        return {"converted_asset": "USD", "items": rows, "next_cursor": None}

    def _order(self, parameters: dict[str, str], *, enters: bool) -> Any:
        product = self.book.product(wire.required(parameters, "strategy_id"))
        decimals = self.book.coin(product.coin).decimals
        self.earnings.ask(product.product_id, wire.amount(parameters, "amount", decimals), enters)
        return True

    def _status(self, parameters: dict[str, str], *, enters: bool) -> Any:
        """The state of the last order, or its error as if it belonged to the request itself."""
        work = self.earnings.works.get((wire.required(parameters, "strategy_id"), enters))
        if work is not None and work.error:
            raise Refused(0, work.error)
        return {"pending": work is not None and work.pending}

    def _withdraw_info(self, parameters: dict[str, str]) -> Any:
        coin, _ = self._way_out(parameters)
        asked = wire.amount(parameters, "amount", coin.decimals)
        fee = self.book.withdrawal_fees.get(coin.symbol, 0)
        return {
            "method": "Ether",
            "limit": to_decimal(10**9 * 10**coin.decimals, coin.decimals),
            "amount": to_decimal(max(asked - fee, 0), coin.decimals),
            "fee": to_decimal(fee, coin.decimals),
        }

    def _withdraw(self, parameters: dict[str, str]) -> Any:
        """`amount` includes the fee. It takes no id of ours: twice asked is twice paid."""
        coin, address = self._way_out(parameters)
        if self.book.faults.suspended or self.book.faults.insolvent:
            raise Refused(0, "EFunding:No funding method")
        if parameters.get("address", address).lower() != address.lower():
            raise Refused(0, "EFunding:Invalid address")
        fee = self.book.withdrawal_fees.get(coin.symbol, 0)
        if "max_fee" in parameters and fee > wire.amount(parameters, "max_fee", coin.decimals):
            raise Refused(0, "EFunding:Max fee exceeded")
        amount = wire.amount(parameters, "amount", coin.decimals) - fee
        refid = f"FT{len(self.book.withdrawals) + 1:06d}-SIMULATED"
        self.book.apply(refid, coin.symbol, checksum(address), amount)
        return {"refid": refid}

    def _withdrawals(self, parameters: dict[str, str]) -> Any:
        names = {address.lower(): name for name, address in self.keys.items()}
        rows = list(reversed(self.book.withdrawals))
        if self.book.faults.hidden > 0 and rows:
            self.book.faults.hidden -= 1
            rows = rows[1:]
        return [
            wire.withdrawal(w, self.book.coin(w.coin), names[w.address.lower()])
            for w in rows
            if parameters.get("asset", w.coin) == w.coin
        ]

    def _way_out(self, parameters: dict[str, str]) -> tuple[Coin, str]:
        coin = self.book.coin(wire.required(parameters, "asset"))
        address = self.keys.get(wire.required(parameters, "key"))
        if address is None:
            raise Refused(0, "EFunding:Unknown withdraw key")
        return coin, address


def default_strategies(coins: Mapping[str, Coin]) -> dict[str, Product]:
    """USDC 5 % to 7.5 % instantly, ETH 3 % to 4.5 % with two days of unbonding."""
    usdc, eth = 10 ** coins["USDC"].decimals, 10 ** coins["ETH"].decimals
    return {
        "ESUSDC-INSTA-SIMUL1": Product("ESUSDC-INSTA-SIMUL1", "USDC", 5_000_000, (), usdc // 100),
        "ESETH0-BONDE-SIMUL2": Product("ESETH0-BONDE-SIMUL2", "ETH", 3_000_000, (), eth // 1000),
    }


async def open_kraken(
    rpc_url: str,
    world: World,
    *,
    api_key: str,
    api_secret: str,
    keys: Mapping[str, str],
    confirmations: int = 2,
) -> KrakenExchange:
    """Books and chain side; nothing listens yet. `api_secret` is base64 text.

    Its hot wallet is an account that has nothing else to do, so that two exchanges on one chain
    don't race for nonces. Serve it with `exchange_simulator.serving`. Raises ChainError.
    """
    chain = await open_chain(
        rpc_url, world, api_key=api_key, hot_wallet=world.accounts.collector,
        confirmations=confirmations,
    )  # fmt: skip
    book = Book(dict(chain.coins), default_strategies(chain.coins), withdrawal_fees={})
    earnings = Earnings(book, unbonding_s={"ESETH0-BONDE-SIMUL2": 2 * 24 * 3600})
    return KrakenExchange(api_key, api_secret, book, chain, keys, earnings)
