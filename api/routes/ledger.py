"""The tenant's books as a whole."""

from typing import Any

from starlette.responses import Response

from api.answers import Shape, answer
from api.auth.access import STAFF
from api.auth.guard import Who
from api.deps import UseDeps
from api.routing import Routes
from custody.ledger import balances

routes = Routes("ledger")


class TrialLineView(Shape):
    """All accounts of one kind in one asset: totals over their lives."""

    asset: str
    kind: str
    accounts: int
    debits: str
    credits: str
    debits_pending: str
    credits_pending: str


class TrialBalanceView(Shape):
    """`balanced`: debits equal credits, posted and pending, in every asset; or `unbalanced`
    names those in which they don't."""

    balanced: bool
    unbalanced: list[str]
    lines: list[TrialLineView]


def _line(line: balances.TrialLine) -> dict[str, Any]:
    return {
        "asset": line.asset_id,
        "kind": line.kind,
        "accounts": line.accounts,
        "debits": str(line.debits),
        "credits": str(line.credits),
        "debits_pending": str(line.debits_pending),
        "credits_pending": str(line.credits_pending),
    }


@routes.get(
    "/v1/ledger/trial-balance",
    access=STAFF,
    command="ledger trial-balance",
    answer=TrialBalanceView,
)
async def trial_balance(who: Who, deps: UseDeps) -> Response:
    """The books of the caller's tenant by asset and kind, now, and whether they balance."""
    async with deps.db.read() as s:
        found = await balances.trial_balance(s, who.tenant_id)
    return answer(
        {
            "balanced": not found.unbalanced,
            "unbalanced": list(found.unbalanced),
            "lines": [_line(line) for line in found.lines],
        }
    )
