"""The tenant's books as a whole."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer
from api.auth.access import STAFF
from api.auth.guard import Who
from api.deps import UseDeps
from api.routes.log_files import proved
from api.routing import Routes
from custody.audit import proof
from custody.audit.checkpoint import latest_checkpoint
from custody.core.errors import NotFound
from custody.core.ids import TransferId, parse_id
from custody.ledger import balances, sealed

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


class UnderRootView(Shape):
    """A leaf's place in a tree, and the hashes that lead from it to the root."""

    index: str
    size: str
    leaf_hash: str
    hashes: list[str]


class UnderSealView(UnderRootView):
    number: str


class JournalProofView(Shape):
    """Two levels (custody/ledger/SEALS.md): `journal` under the root that `entry` says, and `entry`
    under the checkpoint. Both are the texts that the leaf hashes are over."""

    schema_: str = Field(alias="schema")
    journal: str
    seal: UnderSealView
    entry: str
    log: UnderRootView
    checkpoint: str


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


@routes.get(
    "/v1/ledger/transfers/{transfer_id}/proof",
    access=STAFF,
    command="ledger proof",
    answer=JournalProofView,
)
async def journal_proof(transfer_id: str, who: Who, deps: UseDeps) -> Response:
    """That the journal is in the ledger which the log committed to, to be checked offline."""
    id_ = TransferId(parse_id("transfer", transfer_id, "transfer_id"))
    async with deps.db.snapshot() as s:
        found = await sealed.find(s, who.tenant_id, id_)
        head = await latest_checkpoint(s)
    if head is None or found.seq >= head.size:
        raise NotFound("sealed transfer", transfer_id)
    size = head.size
    in_log = proved(deps, size, lambda node: proof.inclusion(node, found.seq, size))
    return answer(sealed.proof_json(found, in_log, head.note))
