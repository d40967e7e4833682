"""One small earn layer over exchanges: what the router needs and nothing else.

Amounts are base units of the pool's asset; the client converts from the exchange's decimals.
Answers get lost. Where a withdrawal carries our own id, asking twice is asking once. Where it
can't, what was listed before we asked is noted with the order, so that a look tells what is new;
where nothing is listed (subscribe, redeem), the caller compares positions before and after.
"""

from dataclasses import dataclass
from typing import Protocol

from router.curves import Curve
from router.rates.units import Quote


class EarnUnavailable(Exception):
    """No answer, or one that can't be trusted. Whether an order was taken is unknown."""


class EarnRefused(Exception):
    """The exchange understood and said no; nothing happened."""


class EarnSuspended(EarnRefused):
    """Not now, whoever asks: withdrawals of the coin are closed for a while."""


@dataclass(frozen=True, slots=True)
class Offer:
    """`capacity` is what it still takes (None: no limit).

    `redeemable` says whether what is subscribed may be asked back; `exit_s` how long that takes
    by the product's terms. `why` tells why it isn't open. `quote` is the best rate on the curve.
    """

    curve: Curve
    capacity: int | None
    redeemable: bool
    open: bool
    why: str = "the product is closed or sold out"
    exit_s: int = 0
    quote: Quote | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    """A deposit as the exchange sees it."""

    tx_hash: str
    amount: int
    credited: bool


@dataclass(frozen=True, slots=True)
class Order:
    """A withdrawal as it is noted before anybody is asked.

    `id` is ours; `amount` is all that leaves the balance, the fee included; `network` is the
    exchange's name of the way out; `known` is what `Earn.known` said when it was noted.
    """

    id: str
    asset: str
    network: str
    address: str
    amount: int
    decimals: int
    known: str = ""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """`tx_hash` is "" until it has been sent; `amount` is what arrives, `fee` comes on top."""

    order_id: str
    amount: int
    fee: int
    tx_hash: str
    failed: bool


class Earn(Protocol):
    @property
    def own_ids(self) -> bool:
        """Whether a withdrawal carries our id, so that the same order again is the same order."""
        ...

    async def close(self) -> None: ...

    async def offer(self, asset: str, product: str, decimals: int) -> Offer: ...

    async def position(self, asset: str, product: str, decimals: int) -> int:
        """Subscribed, rewards and what is `leaving` included."""
        ...

    async def leaving(self, asset: str, product: str, decimals: int) -> int:
        """The part of the position that has been redeemed and isn't in spot yet."""
        ...

    async def spot(self, asset: str, decimals: int) -> int:
        """Free at the exchange, not subscribed."""
        ...

    async def deposits(self, asset: str, decimals: int) -> list[Credit]: ...

    async def subscribe(self, product: str, amount: int, decimals: int) -> None:
        """Ask; the exchange may take its time and may take only a part."""
        ...

    async def redeem(self, product: str, amount: int, decimals: int) -> None: ...

    async def busy(self, product: str) -> bool:
        """Whether a subscription or redemption is still being worked on.

        Raises EarnRefused if the last subscription has failed after it was taken.
        """
        ...

    async def known(self, order: Order) -> str:
        """What is listed already and could be taken for this order; "" with `own_ids`."""
        ...

    async def withdraw(self, order: Order, fee: int) -> None:
        """Send `amount` less `fee`. Idempotent by `order.id` only with `own_ids`."""
        ...

    async def withdrawal_fee(self, order: Order) -> int:
        """Raises EarnSuspended while nothing may leave, EarnRefused if no fee is published."""
        ...

    async def withdrawal(self, order: Order) -> Withdrawal | None:
        """What came of the order, by our id or by what is new since it was noted.

        Raises EarnUnavailable if that can't be told.
        """
        ...
