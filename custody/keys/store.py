"""The signer's own durable store: sqlite, synchronous FULL, one file that no other process opens.

Everything the signer must remember so that a caller with the whole API and database in hand
cannot make it contradict itself: enrolments, policies, what was signed, what was spent, roots.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custody.core.facts import Moved
from custody.core.ids import format_id
from custody.core.intents import Intent

OWNER_SWITCH = "envelope_owner"
"""The founding tenant: whose envelope belongs here, and whose people may lift a freeze."""

HOUR_S = 3_600

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tenants (
    tenant TEXT PRIMARY KEY, account INTEGER NOT NULL UNIQUE, enrolment INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS people (
    tenant TEXT NOT NULL, person TEXT NOT NULL, role TEXT NOT NULL, public_key BLOB NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (tenant, person),
    UNIQUE (tenant, public_key)) STRICT;
CREATE TABLE IF NOT EXISTS policies (
    tenant TEXT NOT NULL, version INTEGER NOT NULL, hash TEXT NOT NULL, signed TEXT NOT NULL,
    PRIMARY KEY (tenant, version)) STRICT;
CREATE TABLE IF NOT EXISTS bindings (
    intent TEXT PRIMARY KEY, digest TEXT NOT NULL, chain TEXT NOT NULL, sender TEXT NOT NULL,
    nonce TEXT NOT NULL, unattended INTEGER NOT NULL, UNIQUE (chain, sender, nonce)) STRICT;
CREATE TABLE IF NOT EXISTS bodies (
    intent TEXT PRIMARY KEY REFERENCES bindings (intent), body TEXT NOT NULL, decision TEXT)
    STRICT;
CREATE TABLE IF NOT EXISTS signed (
    intent TEXT NOT NULL REFERENCES bindings (intent), max_fee TEXT NOT NULL,
    max_priority_fee TEXT NOT NULL, raw TEXT NOT NULL, tx_hash TEXT NOT NULL,
    PRIMARY KEY (intent, max_fee, max_priority_fee)) STRICT;
CREATE TABLE IF NOT EXISTS cancels (
    intent TEXT NOT NULL REFERENCES bindings (intent), max_fee TEXT NOT NULL,
    max_priority_fee TEXT NOT NULL, raw TEXT NOT NULL, tx_hash TEXT NOT NULL,
    PRIMARY KEY (intent, max_fee, max_priority_fee)) STRICT;
CREATE TABLE IF NOT EXISTS delegations (
    tenant TEXT NOT NULL, chain TEXT NOT NULL, authority TEXT NOT NULL, delegate TEXT NOT NULL,
    PRIMARY KEY (tenant, chain, authority, delegate)) STRICT;
CREATE TABLE IF NOT EXISTS spent (
    tenant TEXT NOT NULL, asset TEXT NOT NULL, at INTEGER NOT NULL, amount TEXT NOT NULL,
    intent TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS spent_window ON spent (tenant, asset, at);
CREATE TABLE IF NOT EXISTS spent_hours (
    tenant TEXT NOT NULL, asset TEXT NOT NULL, hour INTEGER NOT NULL, amount TEXT NOT NULL,
    payments INTEGER NOT NULL, PRIMARY KEY (tenant, asset, hour)) STRICT;
CREATE TABLE IF NOT EXISTS moved (
    intent TEXT PRIMARY KEY, tenant TEXT NOT NULL, asset TEXT NOT NULL, destination TEXT NOT NULL,
    at INTEGER NOT NULL, amount TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS moved_window ON moved (tenant, asset, at);
CREATE TABLE IF NOT EXISTS checkpoints (
    origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
    PRIMARY KEY (origin, size)) STRICT;
CREATE TABLE IF NOT EXISTS switches (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Binding:
    """An intent's nonce, for ever. `unattended`: it passed without a person's approval."""

    intent: str
    digest: str
    chain_id: int
    sender: str
    nonce: int
    unattended: bool


@dataclass(frozen=True, slots=True)
class Signed:
    """Bytes that exist. Fees in wei per gas."""

    max_fee: int
    max_priority_fee: int
    raw: str
    tx_hash: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    role: str
    public_key: bytes
    revoked: bool


class Store:
    """All methods are plain statements; those that write belong inside `transaction`."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)
        self._sum_hours()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One durable step: on disk when the block ends, or undone."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()

    def run(self, statement: str, *values: str | int) -> list[tuple[Any, ...]]:
        """One statement of a room that keeps a table of its own here; its rows."""
        return self._db.execute(statement, values).fetchall()

    # Tenants and people

    def account_of(self, tenant: str) -> int | None:
        row = self._one("SELECT account FROM tenants WHERE tenant = ?", tenant)
        return None if row is None else int(row[0])

    def tenants(self) -> list[str]:
        rows = self._db.execute("SELECT tenant FROM tenants ORDER BY account").fetchall()
        return [str(row[0]) for row in rows]

    def enrolment_version(self, tenant: str) -> int:
        row = self._one("SELECT enrolment FROM tenants WHERE tenant = ?", tenant)
        return 0 if row is None else int(row[0])

    def set_tenant(self, tenant: str, account: int, enrolment: int) -> None:
        """Raises sqlite3.IntegrityError when the account is another tenant's."""
        self._db.execute(
            "INSERT INTO tenants VALUES (?, ?, ?)"
            " ON CONFLICT (tenant) DO UPDATE SET enrolment = excluded.enrolment",
            (tenant, account, enrolment),
        )

    def person(self, tenant: str, person: str) -> Enrolled | None:
        row = self._one(
            "SELECT role, public_key, revoked FROM people WHERE tenant = ? AND person = ?",
            tenant,
            person,
        )
        return None if row is None else Enrolled(str(row[0]), bytes(row[1]), bool(row[2]))

    def add_person(self, tenant: str, person: str, role: str, public_key: bytes) -> None:
        """Raises sqlite3.IntegrityError for a person or key that is enrolled."""
        self._db.execute(
            "INSERT INTO people (tenant, person, role, public_key) VALUES (?, ?, ?, ?)",
            (tenant, person, role, public_key),
        )

    def revoke_person(self, tenant: str, person: str) -> None:
        self._db.execute(
            "UPDATE people SET revoked = 1 WHERE tenant = ? AND person = ?", (tenant, person)
        )

    # Policies

    def policy_head(self, tenant: str) -> tuple[int, str, str] | None:
        """Version, hash and signed document of the newest policy."""
        row = self._one(
            "SELECT version, hash, signed FROM policies WHERE tenant = ?"
            " ORDER BY version DESC LIMIT 1",
            tenant,
        )
        return None if row is None else (int(row[0]), str(row[1]), str(row[2]))

    def add_policy(self, tenant: str, version: int, hash_: str, signed: str) -> None:
        self._db.execute(
            "INSERT INTO policies VALUES (?, ?, ?, ?)", (tenant, version, hash_, signed)
        )

    # What was signed

    def binding(self, intent: str) -> Binding | None:
        row = self._one(
            "SELECT intent, digest, chain, sender, nonce, unattended FROM bindings"
            " WHERE intent = ?",
            intent,
        )
        return None if row is None else _binding(row)

    def binding_at(self, chain_id: int, sender: str, nonce: int) -> Binding | None:
        row = self._one(
            "SELECT intent, digest, chain, sender, nonce, unattended FROM bindings"
            " WHERE chain = ? AND sender = ? AND nonce = ?",
            str(chain_id),
            sender,
            str(nonce),
        )
        return None if row is None else _binding(row)

    def bind(self, b: Binding) -> None:
        """Raises sqlite3.IntegrityError when intent or nonce is bound already."""
        self._db.execute(
            "INSERT INTO bindings VALUES (?, ?, ?, ?, ?, ?)",
            (b.intent, b.digest, str(b.chain_id), b.sender, str(b.nonce), int(b.unattended)),
        )

    def bindings_from(
        self, chain_id: int, sender: str, first_nonce: int, limit: int
    ) -> list[Binding]:
        """An address's bindings in the order of nonces."""
        rows = self._db.execute(
            "SELECT intent, digest, chain, sender, nonce, unattended FROM bindings"
            " WHERE chain = ? AND sender = ? AND CAST(nonce AS INTEGER) >= ?"
            " ORDER BY CAST(nonce AS INTEGER) LIMIT ?",
            (str(chain_id), sender, first_nonce, limit),
        )
        return [_binding(row) for row in rows.fetchall()]

    def add_body(self, intent: str, body: str, decision: str | None) -> None:
        """What an intent says, so that a database that lost it can have it back."""
        self._db.execute("INSERT INTO bodies VALUES (?, ?, ?)", (intent, body, decision))

    def body(self, intent: str) -> tuple[str, str | None] | None:
        row = self._one("SELECT body, decision FROM bodies WHERE intent = ?", intent)
        return None if row is None else (str(row[0]), row[1])

    def signed(self, intent: str) -> list[Signed]:
        """Every transaction that was signed for an intent, cheapest first; cancels apart."""
        return self._versions("signed", intent)

    def cancels(self, intent: str) -> list[Signed]:
        """Every cancel that was signed for an intent, cheapest first."""
        return self._versions("cancels", intent)

    def _versions(self, table: str, intent: str) -> list[Signed]:
        rows = self._db.execute(
            f"SELECT max_fee, max_priority_fee, raw, tx_hash FROM {table} WHERE intent = ?",
            (intent,),
        ).fetchall()
        return sorted(
            (Signed(int(r[0]), int(r[1]), str(r[2]), str(r[3])) for r in rows),
            key=lambda x: (x.max_fee, x.max_priority_fee),
        )

    def add_signed(self, intent: str, s: Signed) -> None:
        self._db.execute(
            "INSERT INTO signed VALUES (?, ?, ?, ?, ?)",
            (intent, str(s.max_fee), str(s.max_priority_fee), s.raw, s.tx_hash),
        )

    def add_cancel(self, intent: str, s: Signed) -> None:
        self._db.execute(
            "INSERT INTO cancels VALUES (?, ?, ?, ?, ?)",
            (intent, str(s.max_fee), str(s.max_priority_fee), s.raw, s.tx_hash),
        )

    # Which addresses were delegated

    def add_delegation(self, tenant: str, chain_id: int, authority: str, delegate: str) -> None:
        """Remember an authorisation of EIP-7702 that was signed. The same one again is no other."""
        self._db.execute(
            "INSERT OR IGNORE INTO delegations VALUES (?, ?, ?, ?)",
            (tenant, str(chain_id), authority, delegate),
        )

    def is_delegated(self, tenant: str, chain_id: int, authority: str, delegate: str) -> bool:
        """Whether an authorisation of this address for this delegate was ever signed here."""
        row = self._one(
            "SELECT 1 FROM delegations"
            " WHERE tenant = ? AND chain = ? AND authority = ? AND delegate = ?",
            tenant,
            str(chain_id),
            authority,
            delegate,
        )
        return row is not None

    # What went to somebody outside, approved or not

    def moved_since(
        self, tenant: str, asset: str, since: int, destination: str | None = None
    ) -> Moved:
        """Base units and count; to one destination, or to any where that is None."""
        rows = self._db.execute(
            "SELECT amount FROM moved WHERE tenant = ? AND asset = ? AND at >= ?"
            " AND (? IS NULL OR destination = ?)",
            (tenant, asset, since, destination, destination),
        )
        amounts = [int(row[0]) for row in rows]
        return Moved(sum(amounts), len(amounts))

    def move(self, tenant: str, intent: Intent, at: int) -> None:
        """Each payout of a batch counts as one, under the intent's id and its number."""
        id_ = format_id("intent", intent.id)
        rows = [(f"{id_}/{i}", p.recipient, p.amount) for i, p in enumerate(intent.payouts)]
        self._db.executemany(
            "INSERT INTO moved VALUES (?, ?, ?, ?, ?, ?)",
            [
                (key, tenant, intent.asset_id, destination, at, str(amount))
                for key, destination, amount in rows or [(id_, intent.beneficiary, intent.amount)]
            ],
        )

    # What passed without a person

    def spent_since(self, tenant: str, asset: str, since: int) -> int:
        """Base units; `since` is a Unix time in seconds, itself included.

        The first hour by its rows, to the second, and every later one by its sum.
        """
        whole = -(-since // HOUR_S)
        rows = self._db.execute(
            "SELECT amount FROM spent WHERE tenant = ? AND asset = ? AND at >= ? AND at < ?"
            " UNION ALL SELECT amount FROM spent_hours"
            " WHERE tenant = ? AND asset = ? AND hour >= ?",
            (tenant, asset, since, whole * HOUR_S, tenant, asset, whole),
        )
        return sum(int(row[0]) for row in rows)

    def spend(self, tenant: str, asset: str, at: int, amount: int, intent: str) -> None:
        self._add_to_hour(tenant, asset, at // HOUR_S, amount)
        self._db.execute(
            "INSERT INTO spent VALUES (?, ?, ?, ?, ?)", (tenant, asset, at, str(amount), intent)
        )

    def _add_to_hour(self, tenant: str, asset: str, hour: int, amount: int) -> None:
        """Amounts are text, since they pass what sqlite can add."""
        row = self._one(
            "SELECT amount, payments FROM spent_hours WHERE tenant = ? AND asset = ? AND hour = ?",
            *(tenant, asset, hour),
        )
        before, payments = (0, 0) if row is None else (int(row[0]), int(row[1]))
        self._db.execute(
            "INSERT OR REPLACE INTO spent_hours VALUES (?, ?, ?, ?, ?)",
            (tenant, asset, hour, str(before + amount), payments + 1),
        )

    def _sum_hours(self) -> None:
        """Make the sums again where a version that kept none has written: too small a sum would
        let more pass than the limit."""
        with self.transaction():
            rows = self._one("SELECT count(*) FROM spent")
            summed = self._one("SELECT coalesce(sum(payments), 0) FROM spent_hours")
            if rows == summed:
                return
            self._db.execute("DELETE FROM spent_hours")
            for tenant, asset, at, amount in self.run(
                "SELECT tenant, asset, at, amount FROM spent"
            ):
                self._add_to_hour(tenant, asset, at // HOUR_S, int(amount))

    # Checkpoints

    def checkpoint(self, origin: str, size: int) -> bytes | None:
        row = self._one("SELECT root FROM checkpoints WHERE origin = ? AND size = ?", origin, size)
        return None if row is None else bytes(row[0])

    def checkpoint_size(self, origin: str) -> int:
        """The largest size signed; -1 before the first."""
        row = self._one("SELECT max(size) FROM checkpoints WHERE origin = ?", origin)
        return -1 if row is None or row[0] is None else int(row[0])

    def add_checkpoint(self, origin: str, size: int, root: bytes) -> None:
        self._db.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", (origin, size, root))

    # Switches

    def switch(self, name: str) -> str | None:
        row = self._one("SELECT value FROM switches WHERE name = ?", name)
        return None if row is None else str(row[0])

    def set_switch(self, name: str, value: str | None) -> None:
        self._db.execute("DELETE FROM switches WHERE name = ?", (name,))
        if value is not None:
            self._db.execute("INSERT INTO switches VALUES (?, ?)", (name, value))

    def _one(self, statement: str, *values: str | int) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._db.execute(statement, values).fetchone()
        return row


def copy_store(source: Path, target: Path) -> None:
    """A consistent copy, made beside a signer at work: what is in its log is in the copy.

    Raises FileExistsError, and sqlite3.DatabaseError for a file that is no database.
    """
    target.touch(0o600, exist_ok=False)
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as read,
        closing(sqlite3.connect(target)) as write,
    ):
        read.backup(write)


def signed_size(copy: Path, origin: str) -> int:
    """The largest checkpoint of a log that a copied store has signed; 0 if none."""
    with closing(sqlite3.connect(copy)) as read:
        row = read.execute("SELECT max(size) FROM checkpoints WHERE origin = ?", (origin,))
        return int(row.fetchone()[0] or 0)


def _binding(row: tuple[Any, ...]) -> Binding:
    intent, digest, chain, sender, nonce, unattended = row
    return Binding(str(intent), str(digest), int(chain), str(sender), int(nonce), bool(unattended))
