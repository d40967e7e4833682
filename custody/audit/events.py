"""The typed registry of audit events: kind -> (schema version, field -> type).

To add a kind: one line in `EventKind`, one row in `EVENTS`. A field ends in `?` when an entry may
lack it; a None or an empty text given for such a field is left out. Types are named in
`custody/audit/fields.py`; numbers of every kind are decimal strings. Changing the fields of a
published kind means a new version; readers keep the old ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from custody.audit import fields
from custody.core.canonical import Json
from custody.core.errors import InvalidInput


class EventKind(StrEnum):
    """Every kind of entry. The value is what the log says."""

    TENANT_CREATED = "tenant.created"
    CUSTOMER_CREATED = "customer.created"
    PERSON_ENROLLED = "person.enrolled"
    PERSON_REMOVED = "person.removed"
    PERSON_ERASED = "person.erased"
    PERSONAL_STORED = "personal.stored"
    TOKEN_ISSUED = "token.issued"
    TOKEN_REVOKED = "token.revoked"
    ADDRESS_ISSUED = "address.issued"
    PLACE_SET = "place.set"
    DEPOSIT_SEEN = "deposit.seen"
    DEPOSIT_CREDITED = "deposit.credited"
    DEPOSIT_ORPHANED = "deposit.orphaned"
    DEPOSIT_QUARANTINED = "deposit.quarantined"
    DEPOSIT_LISTED = "deposit.listed"
    DEPOSIT_FROZEN = "deposit.frozen"
    DEPOSIT_UNFROZEN = "deposit.unfrozen"
    DEPOSIT_CONFIRMED = "deposit.confirmed"
    DEPOSIT_DISMISSED = "deposit.dismissed"
    DEPOSIT_RESCUED = "deposit.rescued"
    SWEEP_CHECKED = "sweep.checked"
    TRANSFER_POSTED = "transfer.posted"
    TRANSFERS_POSTED = "transfers.posted"
    LEDGER_SEALED = "ledger.sealed"
    INTENT_CREATED = "intent.created"
    DECISION_MADE = "decision.made"
    APPROVAL_RECORDED = "approval.recorded"
    TRANSFER_SIGNED = "transfer.signed"
    TRANSFER_SENT = "transfer.sent"
    TRANSFER_CANCELLING = "transfer.cancelling"
    TRANSFER_FINAL = "transfer.final"
    TRANSFER_FAILED = "transfer.failed"
    WITHDRAWAL_REQUESTED = "withdrawal.requested"
    WITHDRAWAL_STATE = "withdrawal.state"
    WITHDRAWAL_CANCELLED = "withdrawal.cancelled"
    WITHDRAWAL_EXPIRED = "withdrawal.expired"
    WITHDRAWAL_REFUSED = "withdrawal.refused"
    WITHDRAWAL_FAILED = "withdrawal.failed"
    WITHDRAWAL_SETTLED = "withdrawal.settled"
    BATCH_REQUESTED = "batch.requested"
    BATCH_STATE = "batch.state"
    BATCH_SETTLED = "batch.settled"
    FEE_PLAN_SET = "fee_plan.set"
    FEE_PLAN_ASSIGNED = "fee_plan.assigned"
    POLICY_LOADED = "policy.loaded"
    CHANGE_PROPOSED = "change.proposed"
    CHANGE_ENDED = "change.ended"
    ADDRESS_ENTERED = "address.entered"
    ADDRESS_REMOVED = "address.removed"
    FREEZE_SET = "freeze.set"
    FREEZE_LIFTED = "freeze.lifted"
    RISK_LOADED = "risk.loaded"
    RISK_PROPOSED = "risk.proposed"
    RISK_APPROVED = "risk.approved"
    RISK_ENDED = "risk.ended"
    POOL_CREATED = "pool.created"
    POOL_TERMS_SET = "pool.terms_set"
    POOL_OPTED_IN = "pool.opted_in"
    POOL_JOINED = "pool.joined"
    POOL_LEFT = "pool.left"
    POOL_INCOME_PAID = "pool.income_paid"
    PLAN_MADE = "plan.made"
    LEG_STATE = "leg.state"
    LEG_REST = "leg.rest"
    VENUE_HALTED = "venue.halted"
    VENUE_CALM = "venue.calm"
    VENUE_LEAVING = "venue.leaving"
    VENUE_REOPENED = "venue.reopened"
    POOL_FLAGGED = "pool.flagged"
    POOL_CLEARED = "pool.cleared"
    YIELD_ACCRUED = "yield.accrued"
    YIELD_SHARED = "yield.shared"
    CHECKPOINT_ANCHORED = "checkpoint.anchored"
    LOG_FORKED = "log.forked"
    LOG_FORK_DISMISSED = "log.fork_dismissed"
    LOG_RESTORED = "log.restored"
    RECONCILE_DONE = "reconcile.done"
    SOLVENCY_OPENED = "solvency.opened"
    SOLVENCY_PUBLISHED = "solvency.published"
    SOLVENCY_FAILED = "solvency.failed"
    RECONCILE_UNREAD = "reconcile.unread"
    RECONCILE_OVERDUE = "reconcile.overdue"
    SWEEP_BOOKED = "sweep.booked"
    BREAK_FOUND = "break.found"
    BREAK_MOVED = "break.moved"
    BREAKER_SET = "breaker.set"
    BREAKER_CLEARED = "breaker.cleared"
    BREAKER_CLOSED = "breaker.closed"
    ASSET_DRIFTED = "asset.drifted"
    SAFE_PROPOSED = "safe.proposed"
    SAFE_SIGNED = "safe.signed"
    SAFE_STATE = "safe.state"
    SCREENING_LOADED = "screening.loaded"
    DATA_READ = "data.read"
    DISCLOSURE_OPENED = "disclosure.opened"
    DISCLOSURE_TAKEN = "disclosure.taken"
    DISCLOSURE_CLOSED = "disclosure.closed"
    OPERATOR_FUNDED = "operator.funded"
    PAYMENT_SUSPENDED = "payment.suspended"
    PAYMENT_RESOLVED = "payment.resolved"


@dataclass(frozen=True, slots=True)
class EventSchema:
    """Version and fields of one kind; `fields` maps a name to (type, must it be there)."""

    version: int
    fields: Mapping[str, tuple[fields.FieldType, bool]]


def _schema(version: int, spec: str) -> EventSchema:
    """Parse `name:type name?:type …`."""
    parsed: dict[str, tuple[fields.FieldType, bool]] = {}
    for item in spec.split():
        name, _, type_ = item.partition(":")
        parsed[name.removesuffix("?")] = (fields.named(type_), not name.endswith("?"))
    return EventSchema(version, parsed)


_WDR = "withdrawal:id.withdrawal"
_BAT = "batch:id.batch"
_INT = "intent:id.intent"
_TX = "chain_id:number tx_hash:hash"
_AT_BLOCK = "chain_id:number block_number:number block_hash?:hash"
_MINED = "block_number?:number block_hash?:hash"
_RISK = "pool:id.pool proposal:id.risk_proposal hash:digest"
_MOVED = "asset:asset amount:amount"
# What two people decided about one deposit: `document` is what they signed the digest of.
_REVIEWED = "deposit:id.deposit digest:digest document:object approvals:list decided_at:time"

EVENTS: Mapping[EventKind, EventSchema] = {
    EventKind.TENANT_CREATED: _schema(1, "tenant:id.tenant account_index:number xpub?:text"),
    EventKind.CUSTOMER_CREATED: _schema(1, "customer:id.customer reference?:text"),
    # What a verifier checks approvals with; names are only committed to.
    EventKind.PERSON_ENROLLED: _schema(1, "person:id.person role:text public_key:key"),
    EventKind.PERSON_REMOVED: _schema(1, "person:id.person reason?:text"),
    EventKind.PERSON_ERASED: _schema(1, "subject:text"),
    EventKind.PERSONAL_STORED: _schema(1, "subject:text commitments:commitments"),
    EventKind.TOKEN_ISSUED: _schema(
        1, "token:id.token role:text customer?:id.customer person?:id.person expires_at?:time"
    ),
    EventKind.TOKEN_REVOKED: _schema(1, "token:id.token"),
    EventKind.ADDRESS_ISSUED: _schema(
        1, "customer:id.customer chain_id:number asset?:asset address:address path:text"
    ),
    EventKind.PLACE_SET: _schema(1, "chain_id:number role:text address:address path?:text"),
    EventKind.DEPOSIT_SEEN: _schema(
        1,
        f"deposit:id.deposit customer:id.customer {_MOVED} {_TX} block_number:number "
        "block_hash:hash log_index:index trace_path?:text address?:address sender?:address",
    ),
    EventKind.DEPOSIT_CREDITED: _schema(
        1,
        f"deposit:id.deposit customer:id.customer {_MOVED} {_TX} {_MINED} transfer?:id.transfer",
    ),
    EventKind.DEPOSIT_ORPHANED: _schema(
        1, f"deposit:id.deposit {_TX} block_hash:hash block_number?:number reversed:bool"
    ),
    EventKind.DEPOSIT_QUARANTINED: _schema(
        1, f"deposit:id.deposit {_TX} block_number:number block_hash:hash reason:text"
    ),
    EventKind.DEPOSIT_LISTED: _schema(
        1, f"deposit:id.deposit {_TX} block_number:number block_hash:hash reason:text"
    ),
    EventKind.DEPOSIT_FROZEN: _schema(
        1, "deposit:id.deposit freeze:id.freeze by:text reason?:text"
    ),
    EventKind.DEPOSIT_UNFROZEN: _schema(1, _REVIEWED),
    EventKind.DEPOSIT_CONFIRMED: _schema(1, _REVIEWED),
    EventKind.DEPOSIT_DISMISSED: _schema(1, _REVIEWED),
    EventKind.DEPOSIT_RESCUED: _schema(1, _REVIEWED),
    # What a look at the chain found after a final sweep; a fault is `address: reason`.
    EventKind.SWEEP_CHECKED: _schema(1, f"{_INT} {_AT_BLOCK} addresses:number faults:list"),
    EventKind.OPERATOR_FUNDED: _schema(
        1,
        f"{_MOVED} chain_id:number role?:text address?:address tx_hash?:hash {_MINED} "
        "transfer?:id.transfer reference?:text",
    ),
    # A payment that a restore left without its withdrawal; `to` is the contract of a batch.
    EventKind.PAYMENT_SUSPENDED: _schema(
        1, f"{_INT} {_MOVED} to:address reference?:text {_TX} block_number:number block_hash:hash"
    ),
    EventKind.PAYMENT_RESOLVED: _schema(1, f"{_INT} {_MOVED} outcome:text"),
    # `memo` is what the ledger has: by policy a salted commitment or the text.
    EventKind.TRANSFER_POSTED: _schema(
        1, f"transfer:id.transfer {_MOVED} from:text to:text code?:text reference?:text memo?:text"
    ),
    EventKind.TRANSFERS_POSTED: _schema(
        1, "from:id.customer count:number accepted:number digest:digest code?:text"
    ),
    # What a batch of journals was: ledger/SEALS.md. `totals`: asset -> kind -> sum of amounts.
    EventKind.LEDGER_SEALED: _schema(
        1,
        "seal:number start:number count:number first:id.transfer last:id.transfer totals:object "
        "root:digest",
    ),
    # `body` is the whole intent: the digest that people approve is recomputed from it.
    EventKind.INTENT_CREATED: _schema(
        1, f"{_INT} digest:digest body:object reference?:text initiator?:text"
    ),
    EventKind.DECISION_MADE: _schema(
        1,
        f"{_INT} digest:digest decision:object policy_version?:number inputs?:object "
        "initiator?:text",
    ),
    EventKind.APPROVAL_RECORDED: _schema(
        1,
        "person:id.person digest:digest expires_at:time signature:signature "
        "approval?:id.approval intent?:id.intent",
    ),
    EventKind.TRANSFER_SIGNED: _schema(
        1, f"{_INT} digest:digest {_TX} sender:address nonce:number decision?:id.decision"
    ),
    EventKind.TRANSFER_SENT: _schema(1, f"{_INT} {_TX}"),
    # From here on its nonce is meant for a transfer of nothing to the sender itself.
    EventKind.TRANSFER_CANCELLING: _schema(1, f"{_INT} chain_id:number nonce:number reason:text"),
    EventKind.TRANSFER_FINAL: _schema(
        1, f"{_INT} {_TX} block_number:number block_hash:hash fee_wei:amount gas_used?:amount"
    ),
    EventKind.TRANSFER_FAILED: _schema(
        1, f"{_INT} reason:text chain_id:number tx_hash?:hash {_MINED} fee_wei?:amount"
    ),
    EventKind.WITHDRAWAL_REQUESTED: _schema(
        1,
        f"{_WDR} customer:id.customer asset:asset gross:amount network_fee:amount fee:amount "
        "net:amount destination:address chain_id?:number quote?:text not_before?:time "
        "network_fee_max?:amount fee_plan?:text fee_plan_version?:number",
    ),
    EventKind.WITHDRAWAL_STATE: _schema(
        1, f"{_WDR} from?:text to:text reason?:text intent?:id.intent"
    ),
    EventKind.WITHDRAWAL_CANCELLED: _schema(1, f"{_WDR} reason?:text"),
    EventKind.WITHDRAWAL_EXPIRED: _schema(1, f"{_WDR} reason?:text"),
    EventKind.WITHDRAWAL_REFUSED: _schema(1, f"{_WDR} reason?:text rule?:text"),
    EventKind.WITHDRAWAL_FAILED: _schema(1, f"{_WDR} reason?:text intent?:id.intent"),
    EventKind.WITHDRAWAL_SETTLED: _schema(
        1,
        f"{_WDR} {_INT} asset:asset net:amount network_fee?:amount fee?:amount {_TX} {_MINED}",
    ),
    # The payouts themselves are in the body of the intent.
    EventKind.BATCH_REQUESTED: _schema(
        1,
        f"{_BAT} customer:id.customer asset:asset gross:amount network_fee:amount fee:amount "
        f"net:amount chain_id:number payouts:number {_INT} fee_plan?:text fee_plan_version?:number",
    ),
    EventKind.BATCH_STATE: _schema(1, f"{_BAT} from:text to:text reason?:text"),
    # `skipped` are numbers of payouts; `paid`, `fees` and `returned` add up to the gross.
    EventKind.BATCH_SETTLED: _schema(
        1,
        f"{_BAT} {_INT} asset:asset paid:amount fees:amount returned:amount skipped:list {_TX} "
        f"{_MINED}",
    ),
    # `rates` by asset: amounts in base units of it, and the share of the gross in bps.
    EventKind.FEE_PLAN_SET: _schema(1, "name:text version:number rates:object"),
    EventKind.FEE_PLAN_ASSIGNED: _schema(1, "customer:id.customer name:text"),
    EventKind.POLICY_LOADED: _schema(
        1, "version:number hash:digest previous?:digest document:object signature?:signature"
    ),
    # The alert to owners: what waits, who agreed, and until when one of them may veto it.
    EventKind.CHANGE_PROPOSED: _schema(
        1, "changes:text hash:digest version:number due_at:time document:object consents:list"
    ),
    EventKind.CHANGE_ENDED: _schema(
        1, "changes:text hash:digest state:text person?:id.person signature?:signature"
    ),
    EventKind.ADDRESS_ENTERED: _schema(
        1,
        "entry:id.address chain_id:number address:address label:text person:id.person "
        "signature:signature consents?:list",
    ),
    EventKind.ADDRESS_REMOVED: _schema(1, "entry:id.address person:id.person signature:signature"),
    EventKind.FREEZE_SET: _schema(1, "freeze:id.freeze scope:text value?:text"),
    EventKind.FREEZE_LIFTED: _schema(1, "freeze:id.freeze signatures:list"),
    EventKind.RISK_LOADED: _schema(
        1,
        "pool:id.pool version:number hash:digest previous?:digest document:object loaded_by?:text",
    ),
    # A loosening that waits: the alert to owners. Who agrees signs the hash (approval.recorded).
    EventKind.RISK_PROPOSED: _schema(
        1, f"{_RISK} version:number document:object loosens:texts person:id.person"
    ),
    EventKind.RISK_APPROVED: _schema(1, f"{_RISK} person:id.person due_at:time"),
    EventKind.RISK_ENDED: _schema(1, f"{_RISK} state:text by?:text reason?:text"),
    EventKind.POOL_CREATED: _schema(
        1,
        "pool:id.pool chain_id:number asset:asset guard:address terms_hash?:digest "
        "spread_bps?:number",
    ),
    # `hash` is of `document`: what holders consent to.
    EventKind.POOL_TERMS_SET: _schema(
        1, "pool:id.pool version:number hash:digest previous?:digest document:object set_by:text"
    ),
    EventKind.POOL_OPTED_IN: _schema(
        1, "pool:id.pool customer:id.customer terms_hash:digest tier:text"
    ),
    EventKind.POOL_JOINED: _schema(
        1,
        f"pool:id.pool customer:id.customer {_MOVED} shares:amount price?:amount "
        "terms_hash?:digest",
    ),
    EventKind.POOL_LEFT: _schema(
        1,
        f"pool:id.pool customer:id.customer {_MOVED} shares:amount price?:amount "
        "withdrawal?:id.withdrawal fee?:amount redemption?:id.redemption left_shares?:amount",
    ),
    EventKind.POOL_INCOME_PAID: _schema(
        1,
        f"payment:id.income_payment pool:id.pool {_MOVED} payee:address {_INT} by:id.person",
    ),
    EventKind.PLAN_MADE: _schema(
        1,
        f"plan:id.plan pool:id.pool {_AT_BLOCK} policy_hash:digest input_hash?:digest "
        "output_hash?:digest targets?:object moves?:list objective?:signed gap?:signed",
    ),
    EventKind.LEG_STATE: _schema(
        1,
        "leg:id.leg plan?:id.plan pool?:id.pool venue?:text action?:text amount?:amount "
        "from?:text to:text intent?:id.intent tx_hash?:hash reference?:text",
    ),
    # What an exit could not take is a leg of its own: `amount` is the rest's.
    EventKind.LEG_REST: _schema(
        1, "leg:id.leg rest:id.leg pool:id.pool venue:text amount:amount reason?:text"
    ),
    EventKind.VENUE_HALTED: _schema(
        1, "pool:id.pool venue:text code:text reason:text block_number:number"
    ),
    EventKind.VENUE_CALM: _schema(1, "pool:id.pool venue:text"),
    # By order of a person; to reopen takes two.
    EventKind.VENUE_LEAVING: _schema(1, "pool:id.pool venue:text by:text reason:text"),
    EventKind.VENUE_REOPENED: _schema(1, "pool:id.pool venue:text by:text first:text"),
    # A venue that cannot be left, and that it can be again.
    EventKind.POOL_FLAGGED: _schema(
        1, "pool:id.pool venue:text code:text reason:text since:time amount:amount"
    ),
    EventKind.POOL_CLEARED: _schema(1, "pool:id.pool venue:text code:text since:time"),
    # `fees`: all that an auditor needs to compute the operator's parts again.
    EventKind.YIELD_ACCRUED: _schema(
        1,
        f"pool:id.pool asset:asset {_AT_BLOCK} amount:signed price?:amount total_assets?:amount "
        "total_shares?:amount venues?:list fees?:object terms_hash?:digest",
    ),
    EventKind.YIELD_SHARED: _schema(
        1,
        f"pool:id.pool {_MOVED} spread_bps?:number chain_id?:number {_MINED} price?:amount "
        "transfer?:id.transfer",
    ),
    EventKind.CHECKPOINT_ANCHORED: _schema(
        1,
        f"origin:text size:number root:digest log_id:hash contract:address {_TX} "
        f"block_number:number block_hash:hash {_INT}",
    ),
    # An epoch's promise: from the hash of a block that is not there yet follow salts, order and the
    # moment. `floors` are the newest blocks of all chains at the opening.
    EventKind.SOLVENCY_OPENED: _schema(
        1,
        "entity:text epoch:number commitment:digest chain_id:number block_number:number "
        "window:number floors:object",
    ),
    # Root and totals of what is owed, and the digest of the report (SOLVENCY.md).
    EventKind.SOLVENCY_PUBLISHED: _schema(
        1,
        "entity:text epoch:number commitment:digest challenge:hash block_hash:hash context:digest "
        "root:hash depth:number assets:texts sums:texts report:digest pinned:object",
    ),
    EventKind.SOLVENCY_FAILED: _schema(1, "entity:text epoch:number reason:text"),
    # Somebody holds a root that is not ours for a size of ours. Nothing is anchored from here on,
    # unless a person dismisses it.
    EventKind.LOG_FORKED: _schema(
        1,
        "size:number ours?:digest theirs:digest source:text chain_id?:number contract?:address "
        "block_number?:number block_hash?:hash",
    ),
    # Two people sign the digest of the document; `reason` is a salted commitment (commit.py).
    EventKind.LOG_FORK_DISMISSED: _schema(
        1,
        "fork:id.fork size:number theirs:digest digest:digest document:object approvals:list "
        "by:text reason:digest decided_at:time",
    ),
    # The database came back from a backup and lacked entries `numbered` to `size`, which were put
    # back; of the tenant's seals among them, `seals` have no journals in the ledger any more.
    EventKind.LOG_RESTORED: _schema(
        1,
        "origin:text numbered:number size:number root:digest seals:list digest:digest "
        "document:object approvals:list decided_at:time",
    ),
    # A token whose balances change by themselves; the ledger followed the chain.
    EventKind.ASSET_DRIFTED: _schema(
        1, f"account:text {_MOVED} gained:bool chain_id:number block_number:number"
    ),
    EventKind.RECONCILE_DONE: _schema(
        1, f"{_AT_BLOCK} breaks:number accounts?:number digest?:digest report?:object"
    ),
    # A place that nobody could read for so many reconciliations in a row.
    EventKind.RECONCILE_UNREAD: _schema(
        1, "account:text asset:asset chain_id:number block_number:number cycles:number reason:text"
    ),
    # A chain of which no report has come for too long.
    EventKind.RECONCILE_OVERDUE: _schema(1, "chain_id:number since:time"),
    # Others swept it to the treasury: posted at the block at which both sides were compared.
    EventKind.SWEEP_BOOKED: _schema(
        1,
        "break:id.break account:text asset:asset amount:amount chain_id:number "
        "block_number:number transfer:id.transfer",
    ),
    # `difference` is what the place has more than the ledger says, `beyond` what of it is not
    # accepted.
    EventKind.BREAK_FOUND: _schema(
        1,
        "break:id.break reconciliation:id.reconciliation account:text asset:asset place:text "
        "chain_id:number block_number:number ledger:signed there:signed difference:signed "
        "beyond:signed stops:bool",
    ),
    # `note` is a salted commitment: what people write may be about people.
    EventKind.BREAK_MOVED: _schema(
        1, "break:id.break from:text to:text by:text note:digest accepted?:signed"
    ),
    # From `suspected` it goes by itself if the next look agrees; `open` takes two people. Without a
    # report it is for want of one.
    EventKind.BREAKER_SET: _schema(
        1,
        "breaker:id.breaker asset:asset state:text reconciliation?:id.reconciliation "
        "chain_id:number block_number?:number",
    ),
    EventKind.BREAKER_CLEARED: _schema(
        1, "breaker:id.breaker asset:asset reconciliation:id.reconciliation"
    ),
    # `document` is what two people signed the digest of.
    EventKind.BREAKER_CLOSED: _schema(
        1,
        "breaker:id.breaker asset:asset digest:digest document:object approvals:list "
        "decided_at:time",
    ),
    # All that the hash is made of: an outsider computes it, and recovers the owners that signed.
    EventKind.SAFE_PROPOSED: _schema(
        1,
        f"proposal:id.safe_proposal {_WDR} chain_id:number safe:address nonce:number "
        "to:address value:amount data:text safe_tx_hash:hash",
    ),
    EventKind.SAFE_SIGNED: _schema(
        1,
        "proposal:id.safe_proposal safe_tx_hash:hash owner:address signature:text "
        "chain_id:number block_number:number block_hash:hash",
    ),
    # `safe_tx_hash` is what used the nonce, `tx_hash` the transaction that executed it.
    EventKind.SAFE_STATE: _schema(
        1,
        "proposal:id.safe_proposal from:text to:text reason?:text intent?:id.intent "
        "chain_id:number safe_tx_hash?:hash tx_hash?:hash block_number?:number",
    ),
    # The list itself is not for the log: its hash shows which one was in force.
    EventKind.SCREENING_LOADED: _schema(1, "version:number addresses:number hash:digest"),
    EventKind.DATA_READ: _schema(1, "token?:id.token route:text object?:text method?:text"),
    # Personal data of `subjects` (customers) is opened to an auditor's token; `bundle` is the
    # digest of a file that was handed out.
    EventKind.DISCLOSURE_OPENED: _schema(
        1, "disclosure:id.disclosure token:id.token subjects:texts by:text expires_at:time"
    ),
    EventKind.DISCLOSURE_TAKEN: _schema(
        1, "disclosure:id.disclosure token:id.token subjects:texts bundle:digest"
    ),
    EventKind.DISCLOSURE_CLOSED: _schema(1, "disclosure:id.disclosure by:text"),
}


def validated(kind: str, data: Mapping[str, Json]) -> tuple[int, dict[str, Json]]:
    """The schema version and the data to be logged.

    Raises InvalidInput naming the field when the kind is unknown, a field is missing, extra or of
    the wrong form.
    """
    try:
        schema = EVENTS[EventKind(kind)]
    except ValueError:
        raise InvalidInput("kind", f"{kind!r} is not a registered audit event") from None
    for name in data:
        if name not in schema.fields:
            raise InvalidInput(f"{kind}.{name}", "is not a field of this event")
    checked: dict[str, Json] = {}
    for name, (type_, required) in schema.fields.items():
        value = data.get(name)
        if value is None or value == "":
            if required:
                raise InvalidInput(f"{kind}.{name}", f"is missing ({type_.rule})")
            continue
        if not type_.accepts(value):
            raise InvalidInput(f"{kind}.{name}", type_.rule, value=repr(value)[:80])
        checked[name] = value
    return schema.version, checked
