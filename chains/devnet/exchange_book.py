"""The simulated exchange's own books for one customer: pure, integers only, no clock of its own.

A SIMULATION, not a copy of any exchange: only the shape of its answers is Binance's. Amounts are
base units, times Unix seconds of the chain, rates hundred-millionths a year of 365 days.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from chains.devnet.exchange_faults import Faults

RATE_SCALE = 10**8
YEAR_S = 365 * 24 * 3600


class Refused(Exception):
    """The exchange says no; `code` and the text go on the wire."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Coin:
    """`token` None is the chain's native coin."""

    symbol: str
    decimals: int
    token: str | None


@dataclass(frozen=True, slots=True)
class Product:
    """A flexible earn product: a base rate for all, a bonus rate by tier.

    `tiers` is ((upper bound in base units, bonus rate), ...) ascending; beyond the last, no bonus.
    """

    product_id: str
    coin: str
    base_rate: int
    tiers: tuple[tuple[int, int], ...]
    minimum: int


@dataclass(slots=True)
class Position:
    """What is subscribed. Rewards do not earn rewards, so the sum is the same however often it is
    brought up to date; `carry` is the fraction of a base unit that is not yet whole."""

    principal: int = 0
    rewards: int = 0
    carry: int = 0
    since_s: int = 0
    total_rewards: int = 0

    @property
    def total(self) -> int:
        return self.principal + self.rewards


class DepositStatus(IntEnum):
    PENDING = 0
    SUCCESS = 1


@dataclass(slots=True)
class Deposit:
    """Something that arrived on chain; it is the customer's at enough confirmations."""

    deposit_id: str
    coin: str
    amount: int
    tx_hash: str
    block_number: int
    seen_s: int
    status: DepositStatus = DepositStatus.PENDING
    confirmations: int = 0


class WithdrawalStatus(IntEnum):
    PROCESSING = 4
    FAILURE = 5
    COMPLETED = 6


@dataclass(slots=True)
class Withdrawal:
    """A payment out; `order_id` is the customer's own and names it for ever."""

    withdrawal_id: str
    order_id: str
    coin: str
    address: str
    amount: int
    fee: int
    applied_s: int
    status: WithdrawalStatus = WithdrawalStatus.PROCESSING
    nonce: int | None = None
    tx_hash: str = ""
    completed_s: int = 0


@dataclass(slots=True)
class Book:
    """One customer's account."""

    coins: dict[str, Coin]
    products: dict[str, Product]
    withdrawal_fees: dict[str, int]
    free: dict[str, int] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    deposits: list[Deposit] = field(default_factory=list)
    withdrawals: list[Withdrawal] = field(default_factory=list)
    now_s: int = 0
    orders: int = 0
    faults: Faults = field(default_factory=Faults)

    def advance(self, now_s: int) -> None:
        """Let rewards accrue up to a chain time. Going back in time changes nothing."""
        self.now_s = max(self.now_s, now_s)
        for product_id, position in self.positions.items():
            _accrue(position, self.products[product_id], self.now_s)

    def coin(self, symbol: str) -> Coin:
        try:
            return self.coins[symbol]
        except KeyError:
            raise Refused(-1121, "Invalid symbol.") from None

    def product(self, product_id: str) -> Product:
        try:
            return self.products[product_id]
        except KeyError:
            raise Refused(-6001, "Daily product doesn't exist.") from None

    def credit(self, deposit: Deposit) -> None:
        """Requires a pending deposit."""
        deposit.status = DepositStatus.SUCCESS
        self.free[deposit.coin] = self.free.get(deposit.coin, 0) + deposit.amount

    def subscribe(self, product_id: str, amount: int) -> None:
        product = self.product(product_id)
        if amount < product.minimum or amount <= 0:
            raise Refused(-6005, "Purchase less than the minimum amount.")
        self._take(product.coin, amount)
        position = self.positions.setdefault(product_id, Position(since_s=self.now_s))
        _accrue(position, product, self.now_s)
        position.principal += amount

    def redeem(self, product_id: str, amount: int | None) -> int:
        """Base units moved to the free balance; None takes everything. Rewards go first."""
        product = self.product(product_id)
        position = self.positions.get(product_id, Position())
        _accrue(position, product, self.now_s)
        wanted = position.total if amount is None else amount
        if wanted <= 0 or wanted > position.total:
            raise Refused(-6014, "Redemption amount is greater than the position.")
        from_rewards = min(wanted, position.rewards)
        position.rewards -= from_rewards
        position.principal -= wanted - from_rewards
        self.free[product.coin] = self.free.get(product.coin, 0) + wanted
        return wanted

    def apply(self, order_id: str, coin: str, address: str, amount: int) -> Withdrawal:
        """The same order id twice is one withdrawal; with other content it is refused."""
        self.coin(coin)
        fee = self.withdrawal_fees.get(coin, 0)
        for known in self.withdrawals:
            if known.order_id == order_id:
                if (known.coin, known.address, known.amount) != (coin, address, amount):
                    raise Refused(-4060, "withdrawOrderId was used with other content.")
                return known
        if amount <= 0:
            raise Refused(-4010, "Withdrawal amount is too small.")
        self._take(coin, amount + fee)
        withdrawal = Withdrawal(
            f"{len(self.withdrawals) + 1:032x}", order_id, coin, address, amount, fee, self.now_s
        )
        self.withdrawals.append(withdrawal)
        return withdrawal

    def give_back(self, withdrawal: Withdrawal) -> None:
        """The transfer failed on chain."""
        withdrawal.status = WithdrawalStatus.FAILURE
        total = withdrawal.amount + withdrawal.fee
        self.free[withdrawal.coin] = self.free.get(withdrawal.coin, 0) + total

    def _take(self, coin: str, amount: int) -> None:
        if self.free.get(coin, 0) < amount:
            raise Refused(-4026, "The user has insufficient balance available.")
        self.free[coin] -= amount


def yearly_income(product: Product, principal: int) -> int:
    """What a principal earns in a year, times RATE_SCALE: each part at the rate of its own tier."""
    total, below = principal * product.base_rate, 0
    for bound, bonus in product.tiers:
        total += max(0, min(principal, bound) - below) * bonus
        below = bound
    return total


def _accrue(position: Position, product: Product, now_s: int) -> None:
    elapsed = now_s - position.since_s
    if elapsed <= 0:
        return
    earned = yearly_income(product, position.principal) * elapsed + position.carry
    whole, position.carry = divmod(earned, RATE_SCALE * YEAR_S)
    position.rewards += whole
    position.total_rewards += whole
    position.since_s = now_s
