"""A journal as the log commits to it: its canonical leaf, its line of CSV, the totals of many.

The form is `SEALS.md`'s. Pure: rows in, bytes out.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import Row

from custody.audit import merkle
from custody.core.clock import iso_us
from custody.core.errors import Broken
from custody.core.ids import format_id

SCHEMA = "moorage.journal/1"
FIELDS = (
    *("id", "tenant", "seq", "kind", "asset", "amount", "debit", "debit_code", "credit"),
    *("credit_code", "code", "event_at", "created_at", "at_most", "pending", "reverses", "group"),
    *("expires_at", "chain_id", "block_number", "reference", "memo"),
)
CSV_COLUMNS = ("seal", *FIELDS)
WRITTEN_BY_OTHERS = ("code", "reference", "memo")
_FORMULA = frozenset("=+-@\t\r'")

SELECT = """
SELECT t.id, t.tenant_id, t.seq, t.kind, d.asset_id, c.asset_id AS credit_asset_id, t.amount,
       t.debit_account_id, d.code AS debit_code, t.credit_account_id, c.code AS credit_code,
       t.code, t.event_at, t.created_at, t.at_most, t.pending_id, t.reverses_id, t.group_id,
       t.expires_at, t.chain_id, t.block_number, t.reference, t.memo
"""
"""Of `transfers t`; see `ACCOUNTS` for the two accounts."""
ACCOUNTS = """
LEFT JOIN accounts d ON d.id = t.debit_account_id AND d.tenant_id = t.tenant_id
LEFT JOIN accounts c ON c.id = t.credit_account_id AND c.tenant_id = t.tenant_id
"""


def fields(row: Row[Any]) -> dict[str, str]:
    """The journal's fields by name; what is NULL or the empty text is left out.

    Raises Broken where an account is missing or the two have different assets.
    """
    if row.debit_code is None or row.credit_code is None or row.asset_id != row.credit_asset_id:
        raise Broken(f"transfer {row.id} has no two accounts of one asset")
    made = {
        "id": format_id("transfer", row.id),
        "tenant": format_id("tenant", row.tenant_id),
        "seq": str(row.seq),
        "kind": row.kind,
        "asset": row.asset_id,
        "amount": str(int(row.amount)),
        "debit": format_id("account", row.debit_account_id),
        "debit_code": row.debit_code,
        "credit": format_id("account", row.credit_account_id),
        "credit_code": row.credit_code,
        "code": row.code,
        "event_at": iso_us(row.event_at),
        "created_at": iso_us(row.created_at),
        **_rare(row),
    }
    return {name: value for name, value in made.items() if value}


def _rare(row: Row[Any]) -> dict[str, str]:
    """What most journals do not have, as far as this one does."""
    made = {}
    if row.at_most is not None:
        made["at_most"] = str(int(row.at_most))
    for name, id_ in (("pending", row.pending_id), ("reverses", row.reverses_id)):
        if id_ is not None:
            made[name] = format_id("transfer", id_)
    if row.group_id is not None:
        made["group"] = row.group_id.hex
    if row.expires_at is not None:
        made["expires_at"] = iso_us(row.expires_at)
    for name, number in (("chain_id", row.chain_id), ("block_number", row.block_number)):
        if number is not None:
            made[name] = str(number)
    for name, text in (("reference", row.reference), ("memo", row.memo)):
        if text is not None:
            made[name] = text
    return made


def leaf(journal: dict[str, str]) -> bytes:
    """RFC 8785 JSON of the fields with the schema's name: texts alone, so sorting is all of it."""
    return orjson.dumps({"v": SCHEMA, **journal}, option=orjson.OPT_SORT_KEYS)


def leaf_hashes(journals: Iterable[dict[str, str]]) -> list[bytes]:
    return [merkle.leaf_hash(leaf(journal)) for journal in journals]


def totals(journals: Iterable[dict[str, str]]) -> dict[str, dict[str, str]]:
    """Asset -> kind -> the sum of the amounts, in base units; only what there is."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for journal in journals:
        sums[journal["asset"]][journal["kind"]] += int(journal["amount"])
    return {a: {k: str(n) for k, n in kinds.items()} for a, kinds in sums.items()}


def to_csv(sealed: Sequence[tuple[int, dict[str, str]]]) -> bytes:
    """RFC 4180: a header and a line a journal, each with the number of its seal; UTF-8.

    What others wrote gets a `'` in front where a spreadsheet would run it, or where one is there
    already: to read, one is taken off.
    """
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, CSV_COLUMNS, restval="")
    writer.writeheader()
    for number, journal in sealed:
        marked = {name: _inert(journal[name]) for name in WRITTEN_BY_OTHERS if name in journal}
        writer.writerow({"seal": str(number), **journal, **marked})
    return out.getvalue().encode()


def _inert(text: str) -> str:
    return f"'{text}" if text[:1] in _FORMULA else text
