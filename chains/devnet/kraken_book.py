"""What the simulated Kraken adds to the shared book: orders that are worked on after the answer,
and strategies with an unbonding period. Pure, no clock of its own.
"""

from dataclasses import dataclass, field

from chains.devnet.exchange_book import Book, Position, Refused


@dataclass(slots=True)
class Work:
    """The last (de)allocation of a strategy. It is carried out after `left` more calls."""

    amount: int
    enters: bool
    left: int
    error: str = ""

    @property
    def pending(self) -> bool:
        return self.left > 0


@dataclass(frozen=True, slots=True)
class Unbonding:
    product_id: str
    amount: int
    expires_s: int


@dataclass(slots=True)
class Earnings:
    """Earn strategies over a book. `unbonding_s` is by strategy; 0 is an instant one."""

    book: Book
    unbonding_s: dict[str, int] = field(default_factory=dict)
    caps: dict[str, int] = field(default_factory=dict)
    lag: int = 2
    works: dict[tuple[str, bool], Work] = field(default_factory=dict)
    unbonding: list[Unbonding] = field(default_factory=list)

    def ask(self, product_id: str, amount: int, enters: bool) -> None:
        """Take an order for later. The checks here are those made before the answer."""
        product = self.book.product(product_id)
        if any(w.pending for (id_, _), w in self.works.items() if id_ == product_id):
            raise Refused(0, "EEarnings:Busy:Another (de)allocation for the same strategy is in"
                             " progress")  # fmt: skip
        if amount < product.minimum or amount <= 0:
            raise Refused(0, "EEarnings:Below min:(De)allocation operation amount less than"
                             " minimum")  # fmt: skip
        self.works[product_id, enters] = Work(amount, enters, self.lag)

    def tick(self) -> None:
        """One more call has come in: work goes on, and what has unbonded becomes free."""
        for (product_id, _), work in self.works.items():
            if work.pending:
                work.left -= 1
                if not work.pending:
                    self._carry_out(product_id, work)
        ripe = [u for u in self.unbonding if u.expires_s <= self.book.now_s]
        self.unbonding = [u for u in self.unbonding if u.expires_s > self.book.now_s]
        for part in ripe:
            self._give(part.product_id, part.amount)

    def waiting(self, product_id: str) -> int:
        return sum(u.amount for u in self.unbonding if u.product_id == product_id)

    def total(self, product_id: str) -> int:
        position = self.book.positions.get(product_id, Position())
        return position.total + self.waiting(product_id)

    def pending(self, product_id: str) -> int:
        """What is being worked on; less than 0 on its way out."""
        for (id_, enters), work in self.works.items():
            if id_ == product_id and work.pending:
                return work.amount if enters else -work.amount
        return 0

    def _carry_out(self, product_id: str, work: Work) -> None:
        amount = self.book.faults.filled(work.amount)
        cap = self.caps.get(product_id)
        try:
            if not work.enters:
                self._leave(product_id, amount)
            elif cap is not None and self.total(product_id) + amount > cap:
                work.error = (
                    "EEarnings:Above max:The allocation exceeds user limit for the strategy"
                )
            else:
                self.book.subscribe(product_id, amount)
        except Refused:
            work.error = (
                "EEarnings:Insufficient funds:Insufficient funds to complete the (de)allocation"
                " request"
            )

    def _leave(self, product_id: str, amount: int) -> None:
        self.book.redeem(product_id, amount)
        period = self.unbonding_s.get(product_id, 0)
        if period:
            self._give(product_id, -amount)
            self.unbonding.append(Unbonding(product_id, amount, self.book.now_s + period))

    def _give(self, product_id: str, amount: int) -> None:
        self.book.free[self.book.product(product_id).coin] += amount
