"""The ledger as plain Python: what `ledger_post` must answer, written without looking at it.

Amounts per account are kept as four counters; a group is tried on a copy of everything.
"""

import copy
from dataclasses import dataclass, field
from datetime import datetime

from custody.core.money import AMOUNT_MAX
from custody.ledger.posting import Transfer


@dataclass
class ModelAccount:
    debit_normal: bool
    may_go_negative: bool = False
    balance_max: int | None = None
    asset: str = "x"
    status: str = "open"
    debits: int = 0
    credits: int = 0
    debits_held: int = 0
    credits_held: int = 0

    @property
    def expected(self) -> int:
        """What is there with what is held to come."""
        if self.debit_normal:
            return self.debits - self.credits + self.debits_held
        return self.credits - self.debits + self.credits_held

    @property
    def available(self) -> int:
        if self.debit_normal:
            return self.debits - self.credits - self.credits_held
        return self.credits - self.debits - self.debits_held


@dataclass
class Books:
    """`stored` are the accepted transfers by id, `ends` how each hold ended, `moved` how much."""

    accounts: dict[object, ModelAccount] = field(default_factory=dict)
    stored: dict[object, Transfer] = field(default_factory=dict)
    ends: dict[object, str] = field(default_factory=dict)
    moved: dict[object, int] = field(default_factory=dict)


class Model:
    """Answers as the ledger does. `now` decides only whether a hold has expired."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.books = Books()

    def post(self, transfers: list[Transfer]) -> list[str]:
        results: list[str] = []
        start = 0
        while start < len(transfers):
            end = start + 1
            group = transfers[start].group_id
            while group and end < len(transfers) and transfers[end].group_id == group:
                end += 1
            results += self._unit(transfers[start:end])
            start = end
        return results

    def _unit(self, members: list[Transfer]) -> list[str]:
        """One transfer, or one group: all or none."""
        before = copy.deepcopy(self.books)
        results: list[str] = []
        failed = False
        for member in members:
            was_stored = member.id in before.stored
            fault = self._fault(member, failed)
            mixed = len(members) > 1 and self._mixed(was_stored, before, members, results)
            if fault == "ok" and mixed:
                fault = "linked_failed"
            if fault == "ok":
                self._apply(member)
            results.append(fault)
            if fault not in ("ok", "exists") or (fault == "exists" and was_stored and mixed):
                failed = True
                self.books = copy.deepcopy(before)
        if failed and len(members) > 1:
            results = [
                "linked_failed" if r == "ok" or (r == "exists" and m.id not in before.stored) else r
                for m, r in zip(members, results, strict=True)
            ]
        return results

    @staticmethod
    def _mixed(
        was_stored: bool, before: Books, members: list[Transfer], results: list[str]
    ) -> bool:
        """A stored group met again together with members it did not have."""
        earlier = list(zip(members, results, strict=False))
        if was_stored:
            return "ok" in results
        return any(r == "exists" and m.id in before.stored for m, r in earlier)

    def _fault(self, t: Transfer, group_failed: bool) -> str:
        if t.id in self.books.stored:
            return (
                "exists"
                if self._same(self.books.stored[t.id], t)
                else ("exists_with_different_content")
            )
        if t.kind in ("post", "void"):
            return self._hold_fault(t, group_failed)
        debit, credit = self.books.accounts.get(t.debit), self.books.accounts.get(t.credit)
        amount = t.amount or 0
        if debit is None or credit is None:
            return "unknown_account"
        if t.debit == t.credit:
            return "same_account"
        if debit.asset != credit.asset:
            return "asset_mismatch"
        if not 1 <= amount <= AMOUNT_MAX:
            return "amount_invalid"
        leaves = [
            a
            for a, takes in ((debit, not debit.debit_normal), (credit, credit.debit_normal))
            if takes
        ]
        if any(a.status == "frozen" for a in leaves) and t.reverses_id is None:
            return "account_frozen"
        if "closed" in (debit.status, credit.status):
            return "account_closed"
        if group_failed:
            return "linked_failed"
        if t.balancing:
            amount = self._as_much_as_is_there(amount, leaves)
        if amount < 1 or any(not a.may_go_negative and a.available < amount for a in leaves):
            return "insufficient_funds"
        comes = [a for a in (debit, credit) if a not in leaves]
        if any(a.balance_max is not None and a.expected + amount > a.balance_max for a in comes):
            return "over_balance_max"
        return "ok"

    @staticmethod
    def _as_much_as_is_there(amount: int, leaves: list[ModelAccount]) -> int:
        return min([amount, *(a.available for a in leaves if not a.may_go_negative)])

    def _hold_fault(self, t: Transfer, group_failed: bool) -> str:
        if t.kind == "post" and t.amount is not None and not 1 <= t.amount <= AMOUNT_MAX:
            return "amount_invalid"
        if group_failed:
            return "linked_failed"
        hold = self.books.stored.get(t.pending_id)
        if hold is None or hold.kind != "pending":
            return "hold_not_found"
        if t.pending_id in self.books.ends:
            how = self.books.ends[t.pending_id]
            return "hold_already_posted" if how == "post" else "hold_already_voided"
        if t.kind == "post" and hold.expires_at and hold.expires_at <= self.now:
            return "hold_expired"
        if t.kind == "post" and (t.amount or 0) > self._amount(hold):
            return "amount_over_hold"
        return "ok"

    def _amount(self, t: Transfer) -> int:
        """What a plain transfer or a hold moved."""
        return self.books.moved.get(t.id, t.amount or 0)

    def _same(self, stored: Transfer, t: Transfer) -> bool:
        return self._filled(stored) == self._filled(t)

    def _filled(self, t: Transfer) -> tuple[object, ...]:
        """The content with what a post or void takes from its hold."""
        hold = self.books.stored.get(t.pending_id) if t.pending_id else None
        if hold is None:
            accounts_amount = (t.debit, t.credit, t.amount)
        else:
            whole = t.kind == "void" or t.amount is None
            amount = self._amount(hold) if whole else t.amount
            accounts_amount = (hold.debit, hold.credit, amount)
        return (
            *accounts_amount,
            t.kind,
            t.code,
            t.pending_id,
            t.expires_at,
            t.group_id,
            t.reverses_id,
            t.event_at,
            t.chain_id,
            t.block_number,
            t.reference,
            t.memo,
            t.balancing,
        )

    def _apply(self, t: Transfer) -> None:
        self.books.stored[t.id] = t
        hold = self.books.stored[t.pending_id] if t.pending_id else t
        debit, credit = self.books.accounts[hold.debit], self.books.accounts[hold.credit]
        if hold is t and t.balancing:
            leaves = [a for a, out in ((debit, not debit.debit_normal),
                                       (credit, credit.debit_normal)) if out]  # fmt: skip
            self.books.moved[t.id] = self._as_much_as_is_there(t.amount or 0, leaves)
        held = self._amount(hold)
        if t.kind == "pending":
            debit.debits_held += held
            credit.credits_held += held
            return
        if t.pending_id:
            self.books.ends[t.pending_id] = t.kind
            debit.debits_held -= held
            credit.credits_held -= held
        if t.kind != "void":
            moved = held if t.amount is None or hold is t else t.amount
            debit.debits += moved
            credit.credits += moved
