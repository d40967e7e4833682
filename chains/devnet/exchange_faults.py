"""What can be made to go wrong at a simulated exchange, switched on while it runs.

A call is named by the last part of its path (`subscribe`, `apply`, `Allocate`, `Withdraw`, ...).
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Faults:
    """`lose` and `fail`: how many of the next calls of a name lose their answer after the order
    was taken, or get a 5xx before it is.

    `refused`: calls that are understood and refused.
    `part` is (numerator, denominator) of the next subscriptions and redemptions that are filled,
    `parts` how many of them. `suspended`: the exchange says that nothing may be withdrawn now.
    `insolvent`: it shows balances, says that all is well, and refuses every withdrawal. `frozen`:
    it takes withdrawals and never sends them. `hidden`: so many looks at withdrawals don't list the
    newest. `rate_factor` multiplies what is written as a rate:
    100 sends a percent where a decimal is documented.
    """

    lose: dict[str, int] = field(default_factory=dict)
    fail: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    part: tuple[int, int] = (1, 1)
    parts: int = 0
    suspended: bool = False
    insolvent: bool = False
    frozen: bool = False
    hidden: int = 0
    rate_factor: int = 1

    def loses(self, call: str) -> bool:
        return _take(self.lose, call)

    def fails(self, call: str) -> bool:
        return _take(self.fail, call)

    def filled(self, amount: int) -> int:
        """How much of an order is filled."""
        if self.parts <= 0:
            return amount
        self.parts -= 1
        return amount * self.part[0] // self.part[1]


def _take(counts: dict[str, int], call: str) -> bool:
    if counts.get(call, 0) <= 0:
        return False
    counts[call] -= 1
    return True
