"""What the controls of lending markets have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chains.devnet.rpc import DevnetError, rpc
from chains.devnet.scenario.prices import BPS, move_price, set_price
from chains.devnet.world import World

CRASH_BPS = 5_000
"""To this part of its price falls a collateral: no loan in the world can stand it."""
ABOVE_LIMIT_BPS = 10_100
"""Collateral for a loan, over what the market asks: interest accrues meanwhile."""
GAS_MONEY_WEI = 10**18


@dataclass(frozen=True)
class Usage:
    """A market as its rate sees it, in base units."""

    debt: int
    available: int

    @property
    def total(self) -> int:
        """What suppliers have in it."""
        return self.debt + self.available

    def to_borrow(self, bps: int) -> int:
        """Base units to borrow, or below zero to repay, until `bps` of all are lent out."""
        if not 0 <= bps <= BPS:
            raise DevnetError(f"a utilisation of {bps} bps")
        return self.total * bps // BPS - self.debt

    def is_at(self, bps: int) -> bool:
        """Whether the utilisation is `bps`, give or take one."""
        return abs(self.debt * BPS - self.total * bps) <= self.total


@contextmanager
def crashed(rpc_url: str, world: World, symbol: str) -> Iterator[None]:
    """The price of a collateral is down inside, for every market, and comes back at the end."""
    old_price = move_price(rpc_url, world, symbol, CRASH_BPS)
    try:
        yield
    finally:
        set_price(rpc_url, world, symbol, old_price)


@contextmanager
def stranger(rpc_url: str) -> Iterator[str]:
    """A new account without a key; inside, the node sends what it is told in its name."""
    seen = rpc(rpc_url, "eth_getBlockByNumber", "latest", False)["hash"]
    account = to_checksum_address(keccak(hexstr=seen)[:20])
    rpc(rpc_url, "anvil_impersonateAccount", account)
    rpc(rpc_url, "anvil_setBalance", account, hex(GAS_MONEY_WEI))
    try:
        yield account
    finally:
        # A snapshot would not undo it, and eth_accounts lists it.
        rpc(rpc_url, "anvil_stopImpersonatingAccount", account)
