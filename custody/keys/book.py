"""The signer's own address book: what a person signed, since when by the signer's own clock.

A record may claim what it likes of a destination; who owns the API cannot make an entry, nor age
one. An entry that was removed stays known, so that its signature brings it back never.
"""

from collections.abc import Sequence
from typing import Any

from chains.evm.address import is_checksummed
from custody.core.facts import Book, Facts
from custody.core.governance import (
    TREASURY,
    Address,
    Changing,
    Signature,
    destinations,
    removal_payload,
)
from custody.core.ids import format_id
from custody.core.intents import Intent
from custody.keys.evidence import require_consents, require_person
from custody.keys.refusal import Refusal, require
from custody.keys.store import Store
from custody.policy.conditions import looks_like

LABEL_MAX = 200
SIGNERS = frozenset({TREASURY})
_SCHEMA = """
CREATE TABLE IF NOT EXISTS book (
    entry TEXT PRIMARY KEY, tenant TEXT NOT NULL, chain TEXT NOT NULL, address TEXT NOT NULL,
    label TEXT NOT NULL, person TEXT NOT NULL, signature TEXT NOT NULL, at INTEGER NOT NULL,
    removed INTEGER) STRICT
"""


class AddressBook:
    """Times are Unix seconds of the signer's clock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.run(_SCHEMA)

    def add(
        self,
        entry: Address,
        signature: str,
        now_s: int,
        consents: Sequence[Signature] = (),
        least: int = 1,
    ) -> int:
        """Since when it is in the book. The same entry again changes nothing.

        `least` people must have signed, who enters it among them; the others `consents`.
        """
        id_, tenant = format_id("address", entry.id), format_id("tenant", entry.tenant_id)
        person = format_id("person", entry.person_id)
        require(is_checksummed(entry.address), "address", "must have a valid EIP-55 checksum")
        good = 0 < len(entry.label) <= LABEL_MAX and 0 < entry.chain_id < 2**63
        require(good, "bad_request", "label or chain out of range")
        require_person(
            self._store, tenant, person, SIGNERS, entry.payload(), signature, rule="address_forged"
        )
        others = [c for c in consents if c.person != person]
        require_consents(self._store, tenant, Changing.ADDRESS, entry.hash(), others, least - 1)
        with self._store.transaction():
            known = self._entry(id_)
            if known is not None:
                require(known[1] is None, "address_removed", "this entry was removed")
                require(known[2] == signature, "address_known", "this entry has other content")
                return int(known[0])
            held = self._since(tenant, entry.chain_id, entry.address)
            require(held is None, "address_known", "this address is in the book")
            self._store.run(
                "INSERT INTO book VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                *(id_, tenant, str(entry.chain_id), entry.address, entry.label, person),
                *(signature, now_s),
            )
        return now_s

    def remove(self, tenant: str, entry: str, person: str, signature: str, now_s: int) -> None:
        """At once: one person less pays nobody more. Again changes nothing."""
        payload = removal_payload(tenant, entry, person)
        require_person(
            self._store, tenant, person, SIGNERS, payload, signature, rule="address_forged"
        )
        rows = self._store.run("SELECT tenant FROM book WHERE entry = ?", entry)
        if not rows or rows[0][0] != tenant:
            raise Refusal("address_unknown", "is not in the book")
        with self._store.transaction():
            self._store.run(
                "UPDATE book SET removed = ? WHERE entry = ? AND removed IS NULL", now_s, entry
            )

    def of(self, intent: Intent, cooling_s: int, now_s: int) -> list[tuple[Book, bool]]:
        """What the book says of each of an intent's destinations, and whether it looks like
        another address of the book; in their order."""
        tenant = format_id("tenant", intent.tenant_id)
        rows = self._store.run(
            "SELECT address, at FROM book WHERE tenant = ? AND chain = ? AND removed IS NULL",
            *(tenant, str(intent.chain_id)),
        )
        return [_told(a, rows, now_s - cooling_s) for a in destinations(intent)]

    def _entry(self, id_: str) -> tuple[Any, ...] | None:
        rows = self._store.run("SELECT at, removed, signature FROM book WHERE entry = ?", id_)
        return rows[0] if rows else None

    def _since(self, tenant: str, chain_id: int, address: str) -> int | None:
        rows = self._store.run(
            "SELECT at FROM book WHERE tenant = ? AND chain = ? AND address = ?"
            " AND removed IS NULL",
            *(tenant, str(chain_id), address),
        )
        return int(rows[0][0]) if rows else None


def _told(address: str, rows: list[tuple[Any, ...]], active_from: int) -> tuple[Book, bool]:
    """`Book` is ordered from the mildest. An entry that is active is its own proof."""
    since = next((int(at) for known, at in rows if known == address), None)
    book = Book.ABSENT
    if since is not None:
        book = Book.ACTIVE if since <= active_from else Book.COOLING
    alike = book is not Book.ACTIVE and any(looks_like(address, known) for known, _ in rows)
    return book, alike


def require_own(facts: Facts, own: list[tuple[Book, bool]]) -> None:
    """Refuse a record that claims another book than this one: an honest service decides anew, and
    a liar gets nothing. What a record does not know makes the rule refuse that asks for it.

    `own` is of each destination: of a batch, whose record has facts for each, and else of the one.
    """
    if facts.each:
        require(
            (facts.book, facts.look_alike) == (None, None),
            "decision_book",
            "a batch as a whole is in no book",
        )
    for told, (book, look_alike) in zip(facts.each or (facts,), own, strict=True):
        for name, said, known in (
            ("book", told.book, book),
            ("look_alike", told.look_alike, look_alike),
        ):
            agrees = said is None or said == known
            require(agrees, "decision_book", f"{name} is {known} here, not {said}")
