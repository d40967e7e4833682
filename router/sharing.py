"""Who had what of a pool's yield in a period, and what the operator took: exact to the unit. Pure.

Everything comes from the pool's own moves in the ledger. Values and fees are split in proportion to
shares: floored, and what is left over handed out one unit each in the order of customer ids, so
that the lines sum to the pool's totals. A line, and the totals:

    closing = opening + joined - left - exit_fees + net
    net     = gross - management - spread - excess

Work is O(holders + moves): a fee is kept as an amount a share, and a holder's part is brought up to
date only when his shares change.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from uuid import UUID

from custody.core.errors import Broken
from custody.ledger.split import split

SCALE = 10**60
"""Fees a share are kept this fine, so that all the flooring of a period is far below one unit."""
FEES = {
    "fee.management": "management",
    "yield.spread": "spread",
    "yield.shared": "spread",
    "yield.excess": "excess",
}
"""`yield.shared`: the spread as it was booked before there were other fees."""
JOIN, LEAVE, EXIT_FEE = "pool.join", "pool.leave", "fee.exit"
NO_YIELD = frozenset({*FEES, JOIN, LEAVE, EXIT_FEE})
"""Whatever else moves a pool's account is yield or loss."""


@dataclass(frozen=True, slots=True)
class Move:
    """One move of the pool's account (`amount`) or of its shares (`shares`), signed: more is plus.

    `owner`: the holder on the other side, if there is one.
    """

    seq: int
    code: str
    owner: UUID | None
    amount: int = 0
    shares: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """What one holder, or all together, had in a period. Base units; `gross`, `net` are signed."""

    opening: int = 0
    joined: int = 0
    left: int = 0
    exit_fees: int = 0
    gross: int = 0
    management: int = 0
    spread: int = 0
    excess: int = 0
    net: int = 0
    closing: int = 0


@dataclass(frozen=True, slots=True)
class Shared:
    """`dust`: what lay in the pool while nobody had shares, at opening and closing; it is part of
    the totals and of no line."""

    totals: Line
    lines: Mapping[UUID, Line]
    dust_opening: int
    dust_closing: int


def share(assets: int, shares: Mapping[UUID, int], moves: Sequence[Move]) -> Shared:
    """Statements of everybody who held shares in the period.

    `assets` and `shares` are those before the first move; moves are in the ledger's order.
    """
    everybody = sorted(set(shares) | {m.owner for m in moves if m.owner is not None})
    now = {owner: shares.get(owner, 0) for owner in everybody}
    opening, dust_opening = values(assets, now)
    money: dict[str, Counter[UUID]] = {name: Counter() for name in ("joined", "left", "exit_fees")}
    borne = _Borne(now)
    gross = 0
    for m in moves:
        assets += m.amount
        borne.move(m)
        gross += 0 if m.code in NO_YIELD else m.amount
        if m.owner is not None:
            _count(money, m.code, m.owner, m.amount)
    fees = borne.parts(everybody)
    closing, dust_closing = values(assets, now)
    lines = {
        owner: _line(
            opening[owner],
            {name: counted[owner] for name, counted in money.items()},
            {name: parts[owner] for name, parts in fees.items()},
            closing[owner],
        )
        for owner in everybody
    }
    totals = _total(lines.values(), gross, dust_opening, dust_closing)
    return Shared(totals, lines, dust_opening, dust_closing)


def values(assets: int, shares: Mapping[UUID, int]) -> tuple[dict[UUID, int], int]:
    """What each holder's shares are worth, summing to `assets`; without shares it is all dust."""
    if not any(shares.values()):
        return dict.fromkeys(shares, 0), assets
    owners = sorted(shares)
    return dict(zip(owners, split(assets, [shares[o] for o in owners]), strict=True)), 0


class _Borne:
    """Fees a share so far, and what each holder has borne of them."""

    def __init__(self, shares: dict[UUID, int]) -> None:
        self.shares, self.supply = shares, sum(shares.values())
        names = sorted(set(FEES.values()))
        self.totals = dict.fromkeys(names, 0)
        self.index = dict.fromkeys(names, 0)
        self.seen: dict[str, dict[UUID, int]] = {name: {} for name in names}
        self.owed: dict[str, Counter[UUID]] = {name: Counter() for name in names}

    def move(self, m: Move) -> None:
        name = FEES.get(m.code)
        if name is not None and self.supply:
            self.totals[name] -= m.amount
            self.index[name] += -m.amount * SCALE // self.supply
        if m.shares and m.owner is not None:
            self._bring_up(m.owner)
            self.shares[m.owner] += m.shares
            self.supply += m.shares

    def _bring_up(self, owner: UUID) -> None:
        for name, index in self.index.items():
            since = index - self.seen[name].get(owner, 0)
            self.owed[name][owner] += since * self.shares[owner]
            self.seen[name][owner] = index

    def parts(self, owners: Sequence[UUID]) -> dict[str, dict[UUID, int]]:
        for owner in owners:
            self._bring_up(owner)
        return {
            name: _handed_out(total, {o: self.owed[name][o] for o in owners})
            for name, total in self.totals.items()
        }


def _handed_out(total: int, owed: Mapping[UUID, int]) -> dict[UUID, int]:
    """Each part floored, then the rest one unit each to those with a part, first to last."""
    parts = {owner: exact // SCALE for owner, exact in owed.items()}
    rest = total - sum(parts.values())
    for owner in owed:
        if rest > 0 and owed[owner]:
            parts[owner] += 1
            rest -= 1
    return parts


def _count(money: Mapping[str, Counter[UUID]], code: str, owner: UUID, amount: int) -> None:
    if code == JOIN:
        money["joined"][owner] += amount
    elif code == LEAVE:
        money["left"][owner] -= amount
    elif code == EXIT_FEE:
        money["exit_fees"][owner] -= amount


def _line(opening: int, money: Mapping[str, int], fees: Mapping[str, int], closing: int) -> Line:
    net = closing - opening - money["joined"] + money["left"] + money["exit_fees"]
    return Line(opening, **money, gross=net + sum(fees.values()), **fees, net=net, closing=closing)


def _total(lines: Iterable[Line], gross: int, opening: int, closing: int) -> Line:
    """The lines' sums, with the dust. Raises Broken unless the ledger's `gross` agrees."""
    sums = dict.fromkeys((f.name for f in fields(Line)), 0)
    for line in lines:
        for name in sums:
            sums[name] += getattr(line, name)
    sums["opening"] += opening
    sums["closing"] += closing
    sums["gross"] += closing - opening
    sums["net"] += closing - opening
    if sums["gross"] != gross:
        raise Broken(f"the lines' gross yield is {sums['gross']}, the ledger's {gross}")
    return Line(**sums)
