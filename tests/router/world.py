"""A fake chain for the router's jobs: a guard and venues in memory, the books real.

`mine` plays settlement and chain: each queued intent moves the fake money as its calldata says,
and its effects run with a receipt, as custody/settlement/confirm does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chains.errors import CallReverted
from chains.evm.address import checksum
from chains.evm.calldata import address_topic, decode_arguments, selector, topic, word
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.evm.parse import SimulatedCall
from chains.registry import AssetInfo, ChainInfo, Registry
from chains.types import BlockRef, FeeQuote, Log, Receipt
from custody.core.clock import FixedClock
from custody.core.db import Database
from custody.core.intents import Intent, IntentKind
from custody.core.money import AssetId
from router.books import Pool
from router.curves import RAY, YEAR_S, Curve, income_down
from router.deps import RouterDeps
from router.objections import Objection
from router.stated_curves import FixedPot, Flat, Tiered
from router.tiers import Tier
from router.venues.cefi.port import (
    Credit,
    EarnRefused,
    EarnSuspended,
    EarnUnavailable,
    Offer,
    Order,
    Withdrawal,
)
from router.venues.port import VenueState
from tests.router.pool_world import START, UNIT, PoolWorld, Site

CHAIN = 31337
CONFIRMATIONS = 2
PERCENT = RAY // 100


def addr(n: int) -> str:
    return checksum("0x" + f"{n:040x}")


def guard_id(venue: str) -> str:
    return "0x" + venue.encode().ljust(32, b"\0").hex()


TOKEN, GUARD, TREASURY, ALLOCATOR = addr(0xA1), addr(0xB1), addr(0xC1), addr(0xC4)
EXCHANGE_IN = addr(0xE1)
ASSET = AssetId(f"eip155:{CHAIN}/erc20:{TOKEN.lower()}")
EXCHANGE = {
    "exchange": "simulated", "product": "USDC001", "asset": "USDC", "network": "ETH",
    "deposit_address": EXCHANGE_IN,
}  # fmt: skip
SITE = Site(
    chain_id=CHAIN,
    asset_id=ASSET,
    token=TOKEN,
    guard=GUARD,
    treasury=TREASURY,
    allocator=ALLOCATOR,
    others={"payout": addr(0xC2), "gas": addr(0xC3), "anchorer": addr(0xC5)},
    payees=(EXCHANGE_IN,),
    tier=Tier.STRATEGIES,
    venues={
        "aave-usdc": (
            "aave",
            Tier.CASH,
            {"pool": addr(7), "token": addr(8), "guard_venue": guard_id("aave-usdc")},
        ),
        "vault-usdc": (
            "erc4626",
            Tier.BONDS,
            {"token": addr(9), "guard_venue": guard_id("vault-usdc")},
        ),
        "exchange-usdc": ("exchange", Tier.STRATEGIES, EXCHANGE),
    },
    shares={Tier.CASH: "0.60", Tier.BONDS: "0.40", Tier.STRATEGIES: "0.20"},
)


@dataclass
class FakeClient:
    """Blocks by number; the block's time is in the hash's company only."""

    number: int = 100
    timestamp: int = int(START.timestamp())
    receipts: dict[str, Receipt] = field(default_factory=dict)
    reverts: bool = False
    base_wei: int = 0
    gas: int = 21_000
    loses: int = 0
    """Base units that any move of the guard loses, by its simulation."""
    refuses: Callable[[bytes], CallReverted | None] = lambda _: None

    async def estimate_gas(self, sender: str, to: str, value: int = 0, data: bytes = b"") -> int:
        if self.reverts:
            raise CallReverted("VenuePaused()")
        refused = self.refuses(data)
        if refused is not None:
            raise refused
        return self.gas

    async def fees(self) -> FeeQuote:
        return FeeQuote(2 * self.base_wei, 0)

    async def simulated(self, calls: Sequence[Any], block: BlockRef) -> list[SimulatedCall]:
        """Idle and position, the guard's call, and both again: only what is lost is true."""
        found = [10**18, 10**18, 0, 10**18, 10**18 - self.loses]
        assert len(calls) == len(found)
        return [SimulatedCall(True, word(x), ()) for x in found]

    async def height(self) -> int:
        return self.number

    async def block(self, number: int | str) -> BlockRef:
        n = self.number if isinstance(number, str) else number
        return BlockRef(n, "0x" + f"{n:064x}", self.timestamp)

    async def receipt(self, tx_hash: str) -> Receipt | None:
        return self.receipts.get(tx_hash)


@dataclass
class FakeVenue:
    """Earns its curve's income on the position; `withdrawable` None is everything."""

    curve: Curve
    position: int = 0
    capacity: int | None = None
    withdrawable: int | None = None
    refusal: str = ""
    broken: bool = False
    exit_s: int | None = None
    liquidity: int | None = None
    """What it really pays out; None is everything."""
    shared: int | None = None
    """What it says that others have there for everybody to withdraw; None: it does not say."""

    async def read(self, block: BlockRef) -> VenueState:
        if self.broken:
            raise EarnUnavailable("down")
        free = self.position if self.withdrawable is None else self.withdrawable
        return VenueState(
            self.curve, self.position, self.capacity, free, "instant", self.refusal, block,
            exit_s=self.exit_s,
            liquidity=None if self.shared is None else self.shared + self.position,
        )  # fmt: skip

    async def value(self, block: BlockRef) -> int:
        if self.broken:
            raise EarnUnavailable("down")
        return self.position

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        return amount

    def earn(self, seconds: int) -> None:
        self.position += income_down(self.curve, self.position) * seconds // (YEAR_S * RAY)


class FakeEarn:
    """An exchange that loses answers: with `drop`, the order is taken and the answer lost."""

    own_ids = True

    def __init__(self, world: "World") -> None:
        self.world = world
        self.free, self.subscribed, self.drop = 0, 0, False
        self.credits: list[Credit] = []
        self.orders: dict[str, Withdrawal] = {}
        self.calls: list[str] = []
        self.fee = 0
        self.refuses: set[str] = set()
        self.late, self.slow, self.suspended = 0, False, False

    async def offer(self, asset: str, product: str, decimals: int) -> Offer:
        return Offer(Tiered((), 7 * PERCENT), None, True, True)

    async def position(self, asset: str, product: str, decimals: int) -> int:
        return self.subscribed

    async def spot(self, asset: str, decimals: int) -> int:
        return self.free

    async def deposits(self, asset: str, decimals: int) -> list[Credit]:
        return self.credits

    async def subscribe(self, product: str, amount: int, decimals: int) -> None:
        self.calls.append("subscribe")
        self._refuse("subscribe")
        self.free -= amount
        self.subscribed += amount
        self._answer()

    async def redeem(self, product: str, amount: int, decimals: int) -> None:
        self.calls.append("redeem")
        assert amount <= self.subscribed
        self.subscribed -= amount
        if self.slow:
            self.late += amount
        else:
            self.free += amount
        self._answer()

    async def leaving(self, asset: str, product: str, decimals: int) -> int:
        return 0

    async def busy(self, product: str) -> bool:
        return False

    async def known(self, order: Order) -> str:
        return ""

    async def withdraw(self, order: Order, fee: int) -> None:
        self.calls.append("withdraw")
        self._refuse("withdraw")
        if order.id not in self.orders:
            amount = order.amount - fee
            if order.amount > self.free:
                raise EarnRefused("insufficient balance")
            self.free -= order.amount
            tx = self.world.pay_guard(order.address, amount)
            self.orders[order.id] = Withdrawal(order.id, amount, fee, tx, False)
        self._answer()

    async def withdrawal_fee(self, order: Order) -> int:
        if self.suspended:
            raise EarnSuspended("closed for maintenance")
        return self.fee

    async def withdrawal(self, order: Order) -> Withdrawal | None:
        return self.orders.get(order.id)

    async def close(self) -> None:
        pass

    def fail_order(self, order_id: str) -> None:
        """The next look at this order finds it failed; its money is in spot again."""
        order = self.orders[order_id]
        self.free += order.amount + order.fee
        self.world.idle -= order.amount  # it never came
        self.orders[order_id] = Withdrawal(order_id, 0, 0, "", True)

    def _refuse(self, call: str) -> None:
        if call in self.refuses:
            raise EarnRefused(f"{call}: sold out")

    def _answer(self) -> None:
        if self.drop:
            self.drop = False
            raise EarnUnavailable("timeout")


class World(PoolWorld):
    """Three venues: aave-usdc (cash), vault-usdc (bonds), exchange-usdc (strategies)."""

    def __init__(self, db: Database) -> None:
        self.client, self.earn = FakeClient(), FakeEarn(self)
        self.venues = {
            "aave-usdc": FakeVenue(FixedPot(60_000 * UNIT * RAY, 1_000_000 * UNIT)),
            "vault-usdc": FakeVenue(Flat(4 * PERCENT)),
            "exchange-usdc": FakeVenue(Tiered((), 7 * PERCENT)),
        }
        info = AssetInfo(ASSET, CHAIN, "USDC", 6, TOKEN)
        chain = ChainInfo(CHAIN, "devnet", ("http://none",), CONFIRMATIONS, {}, True)
        registry = Registry({CHAIN: chain}, {ASSET: info})
        clients: dict[int, Any] = {CHAIN: self.client}
        clock = FixedClock(START)
        deps = RouterDeps(db, clients, registry, clock, {"simulated": self.earn})
        super().__init__(db, SITE, deps, clock)
        self.idle, self.treasury, self.seen, self.paid_out = 0, 0, 0, 0
        self.client.refuses = self.refuses

    def refuses(self, data: bytes) -> CallReverted | None:
        """As the contracts would: an exit of more than the venue can pay reverts."""
        if data[:4] != selector("deallocate(bytes32,uint256)"):
            return None
        raw, amount = decode_arguments("deallocate(bytes32,uint256)", data)
        venue = next(v for id_, v in self.venues.items() if guard_id(id_) == "0x" + raw.hex())
        most = venue.position if venue.liquidity is None else venue.liquidity
        return CallReverted("NotEnough()") if amount > most else None

    def adapter(self, _deps: RouterDeps, _pool: Pool, row: Any) -> FakeVenue:
        """Stands in for router.venues.factory.adapter."""
        venue = self.venues[row.id]
        if row.id == "exchange-usdc":
            venue.position = self.earn.subscribed + self.earn.free
        return venue

    async def guard_objections(self, *_: Any) -> list[Objection]:
        """Stands in for router.live_guard.guard_objections: the fake guard has no limits."""
        return []

    async def pay_treasury(self, amount: int) -> None:
        self.treasury += amount

    def advance(self, seconds: int, blocks: int = 1) -> None:
        self.clock.advance(seconds)
        self.client.timestamp += seconds
        self.client.number += blocks

    async def mine(self, *, fail: bool = False) -> int:
        """Every queued intent becomes final, or reverts."""
        found = await self.intents()
        for _, intent in found:
            self.advance(1)
            receipt = self._receipt(() if fail else self._logs(intent), 0 if fail else 1)
            self.client.receipts[receipt.tx_hash] = receipt
            await self.settle_intent(intent, receipt)
        return len(found)

    def _logs(self, intent: Intent) -> tuple[Log, ...]:
        data = bytes.fromhex(intent.data[2:])
        if intent.kind is IntentKind.POOL_FUND:
            self.treasury -= intent.amount
            self.idle += intent.amount
            return ()
        if intent.kind is IntentKind.RELEASE:
            payee, amount = decode_arguments("release(address,uint256)", data)
            self._release(payee, amount)
            return (_log("Released(address,uint256)", [address_topic(payee)], amount),)
        name = "allocate" if intent.kind is IntentKind.ALLOCATE else "deallocate"
        rest = ",uint256" if name == "allocate" else ""
        raw, amount, *_ = decode_arguments(f"{name}(bytes32,uint256{rest})", data)
        venue = next(v for id_, v in self.venues.items() if guard_id(id_) == "0x" + raw.hex())
        sign = 1 if name == "allocate" else -1
        self.idle -= sign * amount
        venue.position += sign * amount
        assert self.idle >= 0
        assert venue.position >= 0
        where = ["0x" + raw.hex()]
        if name == "allocate":
            return (_log("Allocated(bytes32,uint256)", where, amount),)
        return (_log("Deallocated(bytes32,uint256)", where, amount),)

    def _release(self, payee: str, amount: int) -> None:
        self.idle -= amount
        assert self.idle >= 0
        if checksum(payee) == TREASURY:
            self.treasury += amount
        elif checksum(payee) != EXCHANGE_IN:
            self.paid_out += amount
        else:
            self.earn.free += amount
            tx = "0x" + f"{self.seen + 1:064x}"
            self.earn.credits.append(Credit(tx, amount, True))

    def pay_guard(self, address: str, amount: int) -> str:
        """The exchange pays on chain."""
        assert address == GUARD
        self.advance(1)
        topics = (TRANSFER_EVENT, address_topic(EXCHANGE_IN), address_topic(GUARD))
        log = Log(TOKEN, topics, "0x" + word(amount).hex(), 0)
        receipt = self._receipt((log,), 1)
        self.client.receipts[receipt.tx_hash] = receipt
        self.idle += amount
        return receipt.tx_hash

    def _receipt(self, logs: tuple[Log, ...], status: int) -> Receipt:
        self.seen += 1
        n = self.client.number
        block = BlockRef(n, "0x" + f"{n:064x}", self.client.timestamp)
        return Receipt("0x" + f"{self.seen:064x}", block, status, 21_000, 1, logs)


def _log(event: str, topics: list[str], *amounts: int) -> Log:
    data = "0x" + b"".join(word(a) for a in amounts).hex()
    return Log(GUARD, (topic(event), *topics), data, 0)
