"""Memos of transfers: the text itself, or a salted commitment to it, by policy.

A memo is written by people and can hold personal data, but a transfer's row never changes. Under
the policy `commitment` the row has `sha256:<64 hex>`; the text and its salt are sealed with the key
of the person whose memo it is (custody/parties/personal.py). Erasing the person destroys that key:
nobody can then read the text or guess it from the commitment, while the row, its hash and every
proof stay valid. Under `text` the memo stands in the ledger for ever.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from cryptography.exceptions import InvalidTag
from sqlalchemy import Row

from custody.audit.commit import commitment, new_salt, opens
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken, Conflict, InvalidInput
from custody.core.ids import TenantId, TransferId
from custody.core.serialization import dumps, loads
from custody.ledger.posting import MEMO_MAX
from custody.parties import personal

MemoPolicy = Literal["text", "commitment"]
PREFIX = "sha256:"
_COMMITMENT = re.compile(PREFIX + "[0-9a-f]{64}")
_ALIKE = re.compile(rf"\s*{PREFIX}\s*[0-9a-f]+\s*", re.IGNORECASE)

_POSTED = "SELECT id, memo FROM transfers WHERE id = ANY(:transfers) AND tenant_id = :tenant"
# `key` is the person's key of now. Once the person was erased it is NULL, or, where something was
# sealed anew, another key than the one of the row.
_SEALED = """
SELECT m.transfer_id, m.subject_id, m.key_id, m.sealed, k.key
FROM transfer_memos m LEFT JOIN personal_keys k USING (tenant_id, subject_id)
WHERE m.transfer_id = ANY(:transfers) AND tenant_id = :tenant
"""
_STORE = """
INSERT INTO transfer_memos (transfer_id, tenant_id, subject_id, key_id, sealed, created_at)
SELECT t.id, :tenant, :subject, :key_id, t.sealed, :at
FROM unnest(CAST(:transfers AS uuid[]), CAST(:sealed AS bytea[])) AS t(id, sealed)
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is sealed: with the salt, the text opens the commitment."""

    salt: bytes
    text: str


def check(text: str, field: str = "memo") -> None:
    """Raises InvalidInput, naming `field`, for what cannot be a memo, whatever the policy."""
    if not 1 <= len(text) <= MEMO_MAX:
        raise InvalidInput(field, f"must have 1 to {MEMO_MAX} characters")
    if not text.isprintable() or text.isspace():
        raise InvalidInput(field, "must be printable, in one line, and not blank")
    if _ALIKE.fullmatch(text):
        raise InvalidInput(field, f"must not look like a commitment ({PREFIX} and hex digits)")


async def seal(
    s: WriteSession,
    tenant_id: TenantId,
    subject_id: UUID,
    transfer_id: TransferId,
    text: str,
    policy: MemoPolicy,
    *,
    at: datetime,
) -> str:
    """What goes in the `memo` of the transfer; to be called before it is posted.

    `subject_id` is the customer whose memo it is. Run again for the same transfer it answers the
    same, even if the policy has changed since the transfer was posted. Raises InvalidInput, or
    Conflict if the transfer has another text or person, or a text that was erased.
    """
    sealed = await seal_many(s, tenant_id, subject_id, {transfer_id: text}, policy, at=at)
    return sealed[transfer_id]


async def seal_many(
    s: WriteSession,
    tenant_id: TenantId,
    subject_id: UUID,
    texts: Mapping[TransferId, str],
    policy: MemoPolicy,
    *,
    at: datetime,
) -> dict[TransferId, str]:
    """`seal` for many transfers of one person, in a fixed number of statements."""
    for text in texts.values():
        check(text)
    if not texts:
        return {}
    rows = await s.all(_POSTED, {"tenant": tenant_id, "transfers": list(texts)})
    posted: dict[UUID, str | None] = {row.id: row.memo for row in rows}
    to_commit = {id_: text for id_, text in texts.items() if _is_to_commit(posted.get(id_), policy)}
    memos = dict(texts) | await _committed(s, tenant_id, subject_id, to_commit, at)
    for id_, memo in memos.items():
        if posted.get(id_) not in (None, memo):
            raise _other(id_)
    return memos


async def read(
    s: ReadSession, tenant_id: TenantId, transfer_id: TransferId, memo: str
) -> str | None:
    """The text of a transfer's `memo` of either form; None once its person was erased.

    Raises Broken for a commitment that has no sealed text or one that does not open it.
    """
    return (await read_many(s, tenant_id, {transfer_id: memo}))[transfer_id]


async def read_many(
    s: ReadSession, tenant_id: TenantId, memos: Mapping[TransferId, str]
) -> dict[TransferId, str | None]:
    """`read` for many transfers, in one statement."""
    committed = [id_ for id_, memo in memos.items() if _is_commitment(memo)]
    rows = await _sealed(s, tenant_id, committed)
    return {
        id_: _text(rows.get(id_), tenant_id, id_, memo) if _is_commitment(memo) else memo
        for id_, memo in memos.items()
    }


def _text(
    row: Row[Any] | None, tenant_id: TenantId, transfer_id: TransferId, memo: str
) -> str | None:
    """What the commitment `memo` is to. Raises Broken if `row` does not open it."""
    if row is None:
        raise Broken("a memo's sealed text is missing", transfer=str(transfer_id))
    opened = _open(row, tenant_id, transfer_id)
    if opened is None:
        return None
    if not opens(memo.removeprefix(PREFIX), opened.salt, opened.text):
        raise Broken("a memo's text is not what was committed to", transfer=str(transfer_id))
    return opened.text


async def _sealed(
    s: ReadSession, tenant_id: TenantId, transfers: Iterable[TransferId]
) -> dict[UUID, Row[Any]]:
    ids = list(transfers)
    if not ids:
        return {}
    rows = await s.all(_SEALED, {"tenant": tenant_id, "transfers": ids})
    return {row.transfer_id: row for row in rows}


async def _committed(
    s: WriteSession,
    tenant_id: TenantId,
    subject_id: UUID,
    texts: Mapping[TransferId, str],
    at: datetime,
) -> dict[TransferId, str]:
    """The commitment to each text: the one on file, or a new one whose text is now sealed."""
    rows = await _sealed(s, tenant_id, texts)
    new = {id_: text for id_, text in texts.items() if id_ not in rows}
    if new:
        # If somebody else does the same at this moment, the first one's row stays.
        await _store(s, tenant_id, subject_id, new, at)
        rows |= await _sealed(s, tenant_id, new)
    return {
        id_: _commitment(rows[id_], tenant_id, subject_id, id_, text) for id_, text in texts.items()
    }


def _commitment(
    row: Row[Any], tenant_id: TenantId, subject_id: UUID, transfer_id: TransferId, text: str
) -> str:
    """That of the row. Raises Conflict unless it is to this text of this person."""
    opened = _open(row, tenant_id, transfer_id)
    if opened is None:
        raise Conflict("the transfer's memo was erased with its person", transfer=str(transfer_id))
    if (row.subject_id, opened.text) != (subject_id, text):
        raise _other(transfer_id)
    return PREFIX + commitment(opened.salt, opened.text)


async def _store(
    s: WriteSession,
    tenant_id: TenantId,
    subject_id: UUID,
    texts: Mapping[TransferId, str],
    at: datetime,
) -> None:
    key = await personal.key_of(s, tenant_id, subject_id, at=at)
    # In one order, so that two who store the same do not wait for each other.
    ids = sorted(texts)
    params = {
        "transfers": ids,
        "tenant": tenant_id,
        "subject": subject_id,
        "key_id": personal.key_id(key),
        "sealed": [
            personal.seal(key, _salted(texts[id_]), _bound_to(tenant_id, subject_id, id_))
            for id_ in ids
        ],
        "at": at,
    }
    await s.execute(_STORE, params)


def _salted(text: str) -> bytes:
    return dumps({"salt": new_salt().hex(), "value": text})


def _open(row: Row[Any], tenant_id: TenantId, transfer_id: TransferId) -> _Opened | None:
    """None if the key that sealed the row is gone. Raises Broken for a row that was changed."""
    if row.key is None or personal.key_id(row.key) != row.key_id:
        return None
    bound_to = _bound_to(tenant_id, row.subject_id, transfer_id)
    try:
        salted = loads(personal.unseal(row.key, row.sealed, bound_to))
    except (InvalidTag, ValueError) as error:
        raise Broken("a memo's sealed text does not open", transfer=str(transfer_id)) from error
    return _Opened(bytes.fromhex(salted["salt"]), salted["value"])


def _is_to_commit(posted: str | None, policy: MemoPolicy) -> bool:
    """By the form that the ledger has already; by the policy if it has none."""
    return policy == "commitment" if posted is None else _is_commitment(posted)


def _is_commitment(memo: str) -> bool:
    return _COMMITMENT.fullmatch(memo) is not None


def _bound_to(tenant_id: UUID, subject_id: UUID, transfer_id: UUID) -> bytes:
    return personal.aad(b"moorage.memo/1", tenant_id, subject_id, transfer_id)


def _other(transfer_id: TransferId) -> Conflict:
    return Conflict("the transfer has another memo", transfer=str(transfer_id))
