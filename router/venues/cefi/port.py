"""One small earn layer over exchanges: what the router needs and nothing else.

Amounts are base units of the pool's asset; the client converts from the exchange's decimals.
Every order carries our own id, so that asking twice is asking once; where an exchange takes no
such id (subscribe, redeem), the caller compares positions before and after.
"""

from dataclasses import dataclass
from typing import Protocol

from router.curves import Tiered


class EarnUnavailable(Exception):
    """No answer, or one that can't be trusted. Whether an order was taken is unknown."""


class EarnRefused(Exception):
    """The exchange understood and said no; nothing happened."""


@dataclass(frozen=True, slots=True)
class Offer:
    """`minimum` is the smallest subscription; `capacity` what it still takes (None: no limit)."""

    curve: Tiered
    minimum: int
    capacity: int | None
    redeemable: bool
    open: bool


@dataclass(frozen=True, slots=True)
class Credit:
    """A deposit as the exchange sees it."""

    tx_hash: str
    amount: int
    credited: bool


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """`tx_hash` is "" until it has been sent; `fee` is taken on top of `amount`."""

    order_id: str
    amount: int
    fee: int
    tx_hash: str
    failed: bool


class Earn(Protocol):
    async def offer(self, asset: str, product: str, decimals: int) -> Offer: ...

    async def position(self, asset: str, product: str, decimals: int) -> int:
        """Subscribed, rewards included."""
        ...

    async def spot(self, asset: str, decimals: int) -> int:
        """Free at the exchange, not subscribed."""
        ...

    async def deposits(self, asset: str, decimals: int) -> list[Credit]: ...

    async def subscribe(self, product: str, amount: int, decimals: int) -> None: ...

    async def redeem(self, product: str, amount: int, decimals: int) -> None: ...

    async def withdraw(
        self, asset: str, network: str, address: str, amount: int, decimals: int, order_id: str
    ) -> None:
        """Idempotent by `order_id`."""
        ...

    async def withdrawal_fee(self, asset: str, network: str, decimals: int) -> int:
        """Taken from spot on top of a withdrawal. Raises EarnRefused if it isn't published."""
        ...

    async def withdrawal(self, order_id: str, asset: str, decimals: int) -> Withdrawal | None: ...
