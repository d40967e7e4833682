"""What a policy decides on besides the intent: facts, gathered before and never looked up there.

None is "not known". A rule whose condition asks for a fact that is not known denies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from custody.core.ids import format_id, parse_id
from custody.core.money import parse_amount
from custody.core.prices import PriceFault, ReferencePrice

SCHEMA, SCHEMA_2 = "moorage.facts/1", "moorage.facts/2"
HOUR_S, DAY_S = 3_600, 86_400
WINDOWS_S = (HOUR_S, DAY_S)
HOLDER = "holder"
"""The role of a customer who asked."""


class Book(StrEnum):
    """What the tenant's address book says of a destination."""

    ACTIVE = "active"  # entered, and its cooling period is over
    COOLING = "cooling"
    ABSENT = "absent"


class Code(StrEnum):
    """What is at the destination, read at one block."""

    CONTRACT = "contract"
    ACCOUNT = "account"


class Scope(StrEnum):
    """Over what a window counts payments of the intent's asset."""

    TENANT = "global"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class Moved:
    """What went out within a window before this intent: base units of its asset, and how often."""

    amount: int
    count: int


Windows = Mapping[tuple[Scope, int], Moved]
"""Rolling windows, by scope and length in seconds."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Inputs of one decision. `balance` is what the asset's payers hold together, base units.

    `initiator` is the person who asked, by the intent; where a customer did it is None and the
    role is HOLDER. `each` is for a batch of payouts, one a payout in their order: what concerns its
    recipient alone (book, code, look-alike, windows of that destination). Facts that have them are
    of schema 2.
    """

    initiator: UUID | None = None
    initiator_role: str | None = None
    book: Book | None = None
    code: Code | None = None
    look_alike: bool | None = None
    balance: int | None = None
    moved: Windows | None = None
    price: ReferencePrice | None = None
    price_fault: PriceFault | None = None
    each: "tuple[Facts, ...]" = ()

    def to_json(self) -> dict[str, Any]:
        """Canonical object; amounts and counts are decimal strings, windows in one order."""
        who = self.initiator
        body: dict[str, Any] = {
            "schema": SCHEMA,
            "initiator": None if who is None else format_id("person", who),
            "initiator_role": self.initiator_role,
            "book": None if self.book is None else self.book.value,
            "code": None if self.code is None else self.code.value,
            "look_alike": self.look_alike,
            "balance": None if self.balance is None else str(self.balance),
            "moved": None if self.moved is None else _windows_json(self.moved),
            "price": None if self.price is None else self.price.to_json(),
            "price_fault": None if self.price_fault is None else self.price_fault.value,
        }
        if self.each:
            body["schema"] = SCHEMA_2
            body["each"] = [facts.to_json() for facts in self.each]
        return body

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Facts":
        """Inverse of `to_json`. Raises InvalidInput or ValueError on any other form."""
        try:
            facts = _read(body)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not facts") from error
        look = facts.look_alike
        role = facts.initiator_role
        typed = (look is None or type(look) is bool) and (role is None or type(role) is str)
        if not typed or facts.to_json() != body:
            raise ValueError("not facts in canonical form")
        return facts


NO_FACTS = Facts()


def _windows_json(moved: Windows) -> list[dict[str, Any]]:
    return [
        {
            "scope": scope.value,
            "window_s": window_s,
            "amount": str(moved[scope, window_s].amount),
            "count": str(moved[scope, window_s].count),
        }
        for scope, window_s in sorted(moved)
    ]


def _read(body: Mapping[str, Any]) -> Facts:
    who, balance, moved = body["initiator"], body["balance"], body["moved"]
    price, fault = body["price"], body["price_fault"]
    return Facts(
        initiator=None if who is None else parse_id("person", who, "initiator"),
        initiator_role=body["initiator_role"],
        book=None if body["book"] is None else Book(body["book"]),
        code=None if body["code"] is None else Code(body["code"]),
        look_alike=body["look_alike"],
        balance=None if balance is None else parse_amount(balance, "balance", 0),
        moved=None if moved is None else {_key(m): _moved(m) for m in moved},
        price=None if price is None else ReferencePrice.from_json(price),
        price_fault=None if fault is None else PriceFault(fault),
        each=tuple(_one(facts) for facts in body.get("each", ())),
    )


def _one(body: Mapping[str, Any]) -> Facts:
    if "each" in body:  # nothing is deeper, so that no caller makes the reader recurse
        raise ValueError("facts of one payout have none of others")
    return _read(body)


def _key(body: Mapping[str, Any]) -> tuple[Scope, int]:
    return Scope(body["scope"]), body["window_s"]


def _moved(body: Mapping[str, Any]) -> Moved:
    return Moved(parse_amount(body["amount"], "amount", 0), parse_amount(body["count"], "count", 0))
