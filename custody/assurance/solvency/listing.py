"""Which deposit addresses a report lists: anybody can send one unit to each of a million.

Each that is listed costs a signature, a proof and some kilobytes. Small books are listed whole; of
large ones the rest is told as one line an asset, and counts for nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custody.core.db import ReadSession
from custody.core.errors import InvalidInput
from custody.core.ids import TenantId
from custody.core.money import parse_amount
from custody.ledger import accounts, chart
from custody.ledger.accounts import Account

FEW, MOST = 1_000, 10_000
"""Addresses of an asset, the largest first: up to FEW are listed whatever they have, up to MOST
those that have enough. So units sent around add at most FEW lines, and money at most MOST."""
DIGITS, LEAST = 4, 2
"""Enough is a ten-thousandth of a coin if nothing else is said, which is below what is worth its
sweep; and never the one unit that sweeps leave on purpose."""
PLACE = chart.DEPOSIT_PREFIX.removesuffix(":")
UNSERVED = "its chain is not part of the epoch"


@dataclass(frozen=True, slots=True)
class Unlisted:
    """So many deposit addresses that have so much of an asset between them, by the ledger."""

    asset_id: str
    count: int
    sum: int
    reason: str

    def to_json(self) -> dict[str, str]:
        return {
            "place": PLACE,
            "asset": self.asset_id,
            "reason": self.reason,
            "count": str(self.count),
            "sum": str(self.sum),
        }


def least_of(section: Mapping[str, Any]) -> dict[str, int]:
    """Section `solvency` of the installation: `least`, asset to base units. Raises InvalidInput."""
    for name in sorted(set(section) - {"least"}):
        raise InvalidInput(f"solvency.{name}", "is not a setting of solvency")
    said = section.get("least", {})
    if not isinstance(said, Mapping):
        raise InvalidInput("solvency.least", "must be an object: asset to base units")
    return {str(k): parse_amount(v, f"solvency.least.{k}", 1) for k, v in said.items()}


def default_least(decimals: int) -> int:
    return max(LEAST, int(10 ** max(0, decimals - DIGITS)))


_RANKED = """
WITH found AS (
    SELECT a.*, abs(a.debits_posted - a.credits_posted) AS size,
           greatest(a.debits_posted - a.credits_posted, 0) AS there,
           CAST(a.location ->> 'chain_id' AS bigint) = ANY (CAST(:chains AS bigint[])) AS is_served
    FROM accounts AS a
    WHERE a.tenant_id = :tenant AND starts_with(a.code, :prefix) AND a.location IS NOT NULL
      AND a.debits_posted <> a.credits_posted
), ranked AS (
    SELECT found.*, row_number() OVER (PARTITION BY asset_id, is_served
                                       ORDER BY size DESC, code) AS rank
    FROM found
), judged AS (
    SELECT ranked.*, is_served AND (rank <= :few OR rank <= :most AND size >= l.least) AS is_listed
    FROM ranked
    JOIN unnest(CAST(:assets AS text[]), CAST(:leasts AS numeric[])) AS l(id, least)
      ON l.id = asset_id
)
"""
_LISTED = f"{_RANKED} SELECT {accounts.COLUMNS} FROM judged WHERE is_listed ORDER BY code, asset_id"
_UNLISTED = f"""{_RANKED}
SELECT asset_id, is_served, count(*) AS places, sum(there) AS amount FROM judged
WHERE NOT is_listed GROUP BY asset_id, is_served ORDER BY asset_id
"""


async def read(
    s: ReadSession, tenant_id: TenantId, chain_ids: frozenset[int], said: Mapping[str, int]
) -> tuple[list[Account], tuple[Unlisted, ...]]:
    """Accounts of the deposit addresses to list, and what is not listed, by asset.

    Requires a snapshot. `said` is the least by asset, where it is not the default.
    """
    known = await s.all("SELECT id, decimals FROM assets")
    leasts = {str(r.id): said.get(r.id, default_least(r.decimals)) for r in known}
    asked = {
        "tenant": tenant_id,
        "prefix": chart.DEPOSIT_PREFIX,
        "chains": sorted(chain_ids),
        "few": FEW,
        "most": MOST,
        "assets": list(leasts),
        "leasts": list(leasts.values()),
    }
    listed = [accounts.account_of(r, r.id) for r in await s.all(_LISTED, asked)]
    rest = [
        Unlisted(r.asset_id, r.places, int(r.amount), _reason(r.is_served, leasts[r.asset_id]))
        for r in await s.all(_UNLISTED, asked)
    ]
    return listed, tuple(rest)


def _reason(is_served: bool, least: int) -> str:
    return f"under {least}, or beyond the {MOST} largest" if is_served else UNSERVED
