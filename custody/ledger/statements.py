"""Statements: an account's opening balance, its lines, its closing balance; as CSV and JSON."""

import csv
import io
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from custody.core.clock import iso_us
from custody.core.db import ReadSession
from custody.core.ids import AccountId, TenantId, TransferId, format_id
from custody.core.money import AssetId
from custody.ledger import accounts, memos
from custody.ledger.balances import Time, signed

__all__ = [
    "COLUMNS",
    "Line",
    "Statement",
    "Time",
    "statement",
    "to_csv",
    "to_json",
    "with_texts",
]


@dataclass(frozen=True, slots=True)
class Line:
    """`amount` is signed by the account's normal side; `balance` is the one after this line.

    `memo` is as the ledger has it, or the text (see `with_texts`).
    """

    transfer_id: TransferId
    event_at: datetime
    created_at: datetime
    code: str
    counterpart_id: AccountId
    amount: int
    balance: int
    reverses_id: TransferId | None
    chain_id: int | None
    block_number: int | None
    reference: str | None
    memo: str | None


@dataclass(frozen=True, slots=True)
class Statement:
    """Posted movements with `start` <= time < `end`; closing = opening + all amounts."""

    account_id: AccountId
    code: str
    asset_id: AssetId
    start: datetime
    end: datetime
    by: Time
    opening: int
    closing: int
    lines: tuple[Line, ...]


# One statement, so that the opening balance and the lines are of one moment. MATERIALIZED, or the
# opening balance would be asked for once a line.
_LINES = """
WITH o AS MATERIALIZED (SELECT {balance}(:id, :start) AS opening)
SELECT o.opening, m.change, t.id, t.event_at, t.created_at, t.code, t.reverses_id,
       CASE WHEN t.debit_account_id = :id THEN t.credit_account_id ELSE t.debit_account_id END
           AS counterpart_id,
       t.chain_id, t.block_number, t.reference, t.memo
FROM o
LEFT JOIN {moves}(:id, :start, :end) AS m ON true
LEFT JOIN LATERAL (
    SELECT * FROM transfers WHERE id = m.transfer_id AND tenant_id = m.tenant_id LIMIT 1
) AS t ON true
ORDER BY m.{by}, m.seq
"""
_SQL = {
    "created_at": _LINES.format(balance="ledger_balance", moves="ledger_moves", by="posted_at"),
    "event_at": _LINES.format(
        balance="ledger_balance_by_event", moves="ledger_moves_by_event", by="event_at"
    ),
}


async def statement(
    s: ReadSession,
    account_id: AccountId,
    start: datetime,
    end: datetime,
    by: Time = "created_at",
) -> Statement:
    """Read by the ledger's own time or by the world's.

    By its own, a period does not change any more once it lies longer back than a transaction takes:
    what is posted is seen from its commit on. Raises NotFound.
    """
    account = await accounts.get(s, account_id)
    rows = await s.all(_SQL[by], {"id": account_id, "start": start, "end": end})
    opening = running = signed(account, rows[0].opening)
    lines = []
    for row in rows:
        if row.id is None:
            continue
        amount = signed(account, row.change)
        running += amount
        lines.append(
            Line(
                transfer_id=TransferId(row.id),
                event_at=row.event_at,
                created_at=row.created_at,
                code=row.code,
                counterpart_id=AccountId(row.counterpart_id),
                amount=amount,
                balance=running,
                reverses_id=None if row.reverses_id is None else TransferId(row.reverses_id),
                chain_id=row.chain_id,
                block_number=row.block_number,
                reference=row.reference,
                memo=row.memo,
            )
        )
    return Statement(
        account_id, account.code, account.asset_id, start, end, by, opening, running, tuple(lines)
    )


async def with_texts(s: ReadSession, tenant_id: TenantId, statement_: Statement) -> Statement:
    """The same with the text of each memo, for who may read it; None if its person was erased.

    Raises Broken for a memo whose text is missing or is not what was committed to.
    """
    found = {line.transfer_id: line.memo for line in statement_.lines if line.memo is not None}
    texts = await memos.read_many(s, tenant_id, found)
    lines = tuple(replace(line, memo=texts.get(line.transfer_id)) for line in statement_.lines)
    return replace(statement_, lines=lines)


def to_json(statement_: Statement) -> dict[str, Any]:
    """Amounts as decimal strings, ids in their printed form."""
    return {
        "account": format_id("account", statement_.account_id),
        "code": statement_.code,
        "asset": statement_.asset_id,
        "start": iso_us(statement_.start),
        "end": iso_us(statement_.end),
        "by": statement_.by,
        "opening": str(statement_.opening),
        "closing": str(statement_.closing),
        "lines": [_line_json(line) for line in statement_.lines],
    }


COLUMNS = (
    "transfer",
    "event_at",
    "created_at",
    "code",
    "counterpart",
    "amount",
    "balance",
    "reverses",
    "chain_id",
    "block_number",
    "reference",
    "memo",
)


_FORMULA = frozenset("=+-@\t\r")


def to_csv(statement_: Statement) -> str:
    """RFC 4180: a header, an opening row, the lines, a closing row; amounts in base units."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, restval="")
    writer.writeheader()
    writer.writerow(
        {
            "event_at": iso_us(statement_.start),
            "code": "opening",
            "balance": str(statement_.opening),
        }
    )
    for line in statement_.lines:
        row = _line_json(line)
        writer.writerow(row | {name: _inert(row[name]) for name in ("reference", "memo")})
    writer.writerow(
        {"event_at": iso_us(statement_.end), "code": "closing", "balance": str(statement_.closing)}
    )
    return out.getvalue()


def _inert(text: str | int | None) -> str | int | None:
    """Text that others wrote, which a spreadsheet would run as a formula, marked as text."""
    return f"'{text}" if isinstance(text, str) and text[:1] in _FORMULA else text


def _line_json(line: Line) -> dict[str, str | int | None]:
    return {
        "transfer": format_id("transfer", line.transfer_id),
        "event_at": iso_us(line.event_at),
        "created_at": iso_us(line.created_at),
        "code": line.code,
        "counterpart": format_id("account", line.counterpart_id),
        "amount": str(line.amount),
        "balance": str(line.balance),
        "reverses": _printed(line.reverses_id),
        "chain_id": line.chain_id,
        "block_number": line.block_number,
        "reference": line.reference,
        "memo": line.memo,
    }


def _printed(id_: UUID | None) -> str | None:
    return None if id_ is None else format_id("transfer", id_)
