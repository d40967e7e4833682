"""Memos of transfers: the text itself, or a salted commitment to it, by policy.

A memo is written by people and can hold personal data, but a transfer's row never changes. Under
the policy `commitment` the row has `sha256:<64 hex>`; the text and its salt are sealed with the key
of the person whose memo it is (custody/parties/personal.py). Erasing the person destroys that key:
nobody can then read the text or guess it from the commitment, while the row, its hash and every
proof stay valid. Under `text` the memo stands in the ledger for ever.
"""

import re
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

_POSTED = "SELECT memo FROM transfers WHERE id = :transfer AND tenant_id = :tenant"
# `key` is the person's key of now. Once the person was erased it is NULL, or, where something was
# sealed anew, another key than the one of the row.
_SEALED = """
SELECT m.subject_id, m.key_id, m.sealed, k.key
FROM transfer_memos m LEFT JOIN personal_keys k USING (tenant_id, subject_id)
WHERE m.transfer_id = :transfer AND tenant_id = :tenant
"""
_STORE = """
INSERT INTO transfer_memos (transfer_id, tenant_id, subject_id, key_id, sealed, created_at)
VALUES (:transfer, :tenant, :subject, :key_id, :sealed, :at) ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is sealed: with the salt, the text opens the commitment."""

    salt: bytes
    text: str


def check(text: str) -> None:
    """Raises InvalidInput for what cannot be a memo, whatever the policy."""
    if not 1 <= len(text) <= MEMO_MAX:
        raise InvalidInput("memo", f"must have 1 to {MEMO_MAX} characters")
    if not text.isprintable() or text.isspace():
        raise InvalidInput("memo", "must be printable, in one line, and not blank")
    if _ALIKE.fullmatch(text):
        raise InvalidInput("memo", f"must not look like a commitment ({PREFIX} and hex digits)")


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
    check(text)
    ids = {"tenant": tenant_id, "transfer": transfer_id}
    posted = await s.scalar(_POSTED, ids)
    memo = text
    if _is_commitment(posted) if posted is not None else policy == "commitment":
        memo = await _committed(s, tenant_id, subject_id, transfer_id, text, at)
    if posted not in (None, memo):
        raise _other(transfer_id)
    return memo


async def read(
    s: ReadSession, tenant_id: TenantId, transfer_id: TransferId, memo: str
) -> str | None:
    """The text of a transfer's `memo` of either form; None once its person was erased.

    Raises Broken for a commitment that has no sealed text or one that does not open it.
    """
    if not _is_commitment(memo):
        return memo
    row = await s.first(_SEALED, {"tenant": tenant_id, "transfer": transfer_id})
    if row is None:
        raise Broken("a memo's sealed text is missing", transfer=str(transfer_id))
    opened = _open(row, tenant_id, transfer_id)
    if opened is None:
        return None
    if not opens(memo.removeprefix(PREFIX), opened.salt, opened.text):
        raise Broken("a memo's text is not what was committed to", transfer=str(transfer_id))
    return opened.text


async def _committed(
    s: WriteSession,
    tenant_id: TenantId,
    subject_id: UUID,
    transfer_id: TransferId,
    text: str,
    at: datetime,
) -> str:
    """The commitment to `text`: the one on file, or a new one whose text is now sealed."""
    ids = {"tenant": tenant_id, "transfer": transfer_id}
    row = await s.first(_SEALED, ids)
    if row is None:
        # If somebody else does the same at this moment, the first one's row stays.
        await _store(s, tenant_id, subject_id, transfer_id, text, at)
        row = await s.one(_SEALED, ids)
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
    transfer_id: TransferId,
    text: str,
    at: datetime,
) -> None:
    key = await personal.key_of(s, tenant_id, subject_id, at=at)
    salted = dumps({"salt": new_salt().hex(), "value": text})
    params = {
        "transfer": transfer_id,
        "tenant": tenant_id,
        "subject": subject_id,
        "key_id": personal.key_id(key),
        "sealed": personal.seal(key, salted, _bound_to(tenant_id, subject_id, transfer_id)),
        "at": at,
    }
    await s.execute(_STORE, params)


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


def _is_commitment(memo: str) -> bool:
    return _COMMITMENT.fullmatch(memo) is not None


def _bound_to(tenant_id: UUID, subject_id: UUID, transfer_id: UUID) -> bytes:
    return personal.aad(b"moorage.memo/1", tenant_id, subject_id, transfer_id)


def _other(transfer_id: TransferId) -> Conflict:
    return Conflict("the transfer has another memo", transfer=str(transfer_id))
