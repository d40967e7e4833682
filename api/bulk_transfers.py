"""Many internal transfers in one request: one idempotency key, one commit, a result for each.

The body is read by hand: a model's validation of a thousand items costs more than posting them.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson
from pydantic import Field

from api.answers import Shape
from api.auth.principal import Principal
from api.deps import Deps
from api.inputs import known_asset
from api.internal_transfers import CODE, MEMO_HELP, recipients_account
from api.writes import Asked
from custody.audit import log
from custody.core.canonical import Json
from custody.core.db import WriteSession
from custody.core.errors import InvalidInput, NotFound
from custody.core.idempotency import StoredAnswer
from custody.core.ids import (
    AccountId,
    CustomerId,
    TenantId,
    TransferId,
    format_id,
    new_uuid7,
    parse_id,
)
from custody.core.money import AssetId, parse_amount
from custody.core.serialization import dumps
from custody.ledger import accounts, chart, memos, once, posting
from custody.ledger.memos import MemoPolicy
from custody.ledger.posting import Outcome, Transfer

ITEMS_MAX = 1_000
BODY_MAX = 512 * 1024
REFERENCE_MAX = 64
EVENT = "transfers.posted"
STATUS = 200
_ALLOWED = frozenset({"to", "asset", "amount", "reference", "memo"})
_NEEDED = frozenset({"to", "asset", "amount"})


class BatchItem(Shape):
    to: str = Field(max_length=64, description="the customer who receives")
    asset: str = Field(max_length=160)
    amount: str = Field(description="base units")
    reference: str | None = Field(default=None, min_length=1, max_length=REFERENCE_MAX)
    memo: str | None = Field(default=None, description=MEMO_HELP)


class NewBatch(Shape):
    transfers: list[BatchItem] = Field(min_length=1, max_length=ITEMS_MAX)


class BatchResult(Shape):
    id: str
    result: str = Field(description="ok, or the rule that refused it")
    amount: str | None = Field(description="base units; null where refused")
    memo: str | None = Field(description="as the ledger has it; null where refused or none")


class BatchAnswer(Shape):
    """A result for each transfer, in order. One that is refused fails none of the others."""

    results: list[BatchResult]


@dataclass(frozen=True, slots=True)
class Item:
    recipient: CustomerId
    asset: AssetId
    amount: int
    reference: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Bulk:
    """A checked request, with the ids that its transfers will have.

    `memos` is what the ledger has of the items' texts: nothing before they are sealed.
    """

    tenant: TenantId
    sender: CustomerId
    items: Sequence[Item]
    ids: Sequence[TransferId]
    at: datetime
    memos: Mapping[TransferId, str] = field(default_factory=dict)

    @property
    def has_texts(self) -> bool:
        return any(item.text is not None for item in self.items)

    def posting(self, k: int, sender: AccountId, recipient: AccountId) -> Transfer:
        item = self.items[k]
        return Transfer(
            self.ids[k],
            self.tenant,
            sender,
            recipient,
            item.amount,
            CODE,
            event_at=self.at,
            reference=item.reference,
            memo=self.memos.get(self.ids[k]),
        )

    def entry(self, accepted: Sequence[int]) -> dict[str, Json]:
        """What the log says. `digest` is SHA-256 over the JSON array of what was accepted: for
        each, transfer id, recipient, asset, amount and reference, without any space. If any of
        them has a memo, every row has a sixth element: the memo as the ledger has it, or null."""
        rows = [self._row(k) for k in accepted]
        forms = [self.memos.get(self.ids[k]) for k in accepted]
        if any(form is not None for form in forms):
            rows = [(*row, form) for row, form in zip(rows, forms, strict=True)]
        return {
            "from": format_id("customer", self.sender),
            "count": str(len(self.items)),
            "accepted": str(len(accepted)),
            "digest": "sha256:" + hashlib.sha256(dumps(rows)).hexdigest(),
            "code": CODE,
        }

    def _row(self, k: int) -> tuple[str | None, ...]:
        item = self.items[k]
        return (
            format_id("transfer", self.ids[k]),
            format_id("customer", item.recipient),
            item.asset,
            str(item.amount),
            item.reference,
        )

    def view(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        """The answer. It is stored for ever, so its memos are as the ledger has them."""
        return {
            "results": [
                {
                    "id": format_id("transfer", id_),
                    "result": outcome,
                    "amount": str(item.amount) if outcome is Outcome.OK else None,
                    "memo": self.memos.get(id_) if outcome is Outcome.OK else None,
                }
                for id_, item, outcome in zip(self.ids, self.items, outcomes, strict=True)
            ]
        }


def parse(body: bytes, who: Principal, deps: Deps) -> Bulk:
    """Raises InvalidInput naming the item's place and field, such as `transfers.3.amount`."""
    sender = who.own_customer()
    assets: dict[str, AssetId] = {}
    items = []
    for k, found in enumerate(_listed(body)):
        where = f"transfers.{k}"
        if not isinstance(found, dict):
            raise InvalidInput(where, "must be an object")
        if not (found.keys() <= _ALLOWED and found.keys() >= _NEEDED):
            _complain(where, found)
        asset = found["asset"]
        if not isinstance(asset, str):
            raise InvalidInput(f"{where}.asset", "must be a string")
        if asset not in assets:
            assets[asset] = known_asset(deps.registry, asset, f"{where}.asset")
        to = found["to"]
        if not isinstance(to, str):
            raise InvalidInput(f"{where}.to", "must be a string")
        recipient = CustomerId(parse_id("customer", to, f"{where}.to"))
        if recipient == sender:
            raise InvalidInput(f"{where}.to", "must be another customer")
        amount = parse_amount(found["amount"], f"{where}.amount")
        reference = found.get("reference")
        if reference is not None:
            _check_reference(reference, f"{where}.reference")
        memo = found.get("memo")
        if memo is not None:
            _check_memo(memo, f"{where}.memo")
        items.append(Item(recipient, assets[asset], amount, reference, memo))
    ids = [TransferId(new_uuid7()) for _ in items]
    return Bulk(who.tenant_id, sender, items, ids, deps.clock.now())


def _listed(body: bytes) -> list[Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput("body", f"must be JSON: {error}") from None
    if not isinstance(document, dict) or "transfers" not in document:
        raise InvalidInput("body", "must be an object with the field transfers")
    for name in document.keys() - {"transfers"}:
        raise InvalidInput(name, "is not a field of this request")
    listed = document["transfers"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= ITEMS_MAX:
        raise InvalidInput("transfers", f"must be a list of 1 to {ITEMS_MAX} transfers")
    return listed


def _complain(where: str, found: Mapping[str, Any]) -> None:
    for name in found.keys() - _ALLOWED:
        raise InvalidInput(f"{where}.{name}", "is not a field of a transfer")
    for name in sorted(_NEEDED - found.keys()):
        raise InvalidInput(f"{where}.{name}", "is required")


def _check_reference(reference: Any, field: str) -> None:
    if not isinstance(reference, str) or not 1 <= len(reference) <= REFERENCE_MAX:
        raise InvalidInput(field, f"must be text of 1 to {REFERENCE_MAX} characters")
    if "\0" in reference:
        raise InvalidInput(field, "must be text without NUL and lone surrogates")


def _check_memo(memo: Any, field: str) -> None:
    if not isinstance(memo, str):
        raise InvalidInput(field, "must be a string")
    memos.check(memo, field)


async def at_once(deps: Deps, who: Principal, asked: Asked, bulk: Bulk) -> StoredAnswer | None:
    """The quick way, one round trip: None when an account is not known or anything is refused.

    Also None when there is a memo: its sealed text must commit with the transfers.
    """
    if bulk.has_texts:
        return None
    known = deps.accounts
    transfers = []
    for k, item in enumerate(bulk.items):
        sender = known.known(bulk.tenant, bulk.sender, item.asset) or await known.find(
            deps, bulk.tenant, bulk.sender, item.asset
        )
        recipient = known.known(bulk.tenant, item.recipient, item.asset) or await known.find(
            deps, bulk.tenant, item.recipient, item.asset
        )
        if sender is None or recipient is None:
            return None
        transfers.append(bulk.posting(k, sender, recipient))
    everything = range(len(bulk.items))
    one = once.asked(
        once.Request(who.tenant_id, who.idempotency_principal, asked.key, asked.hash),
        transfers,
        EVENT,
        bulk.entry(everything),
        StoredAnswer(STATUS, dumps(bulk.view([Outcome.OK] * len(transfers)))),
        at=bulk.at,
    )
    async with deps.hot.session() as s:
        return await once.post_alone(s, one)


async def in_full(s: WriteSession, bulk: Bulk, policy: MemoPolicy) -> dict[str, Any]:
    """The general way: makes accounts that are missing, and says of each what became of it."""
    outcomes = [Outcome.UNKNOWN_ACCOUNT] * len(bulk.items)
    known: dict[int, tuple[AccountId, AccountId]] = {}
    for k, (sender, recipient) in enumerate(await _sides(s, bulk)):
        if recipient is not None and sender is None:
            outcomes[k] = Outcome.INSUFFICIENT_FUNDS  # never had the asset
        elif recipient is not None and sender is not None:
            known[k] = sender, recipient
    bulk = await _sealed(s, bulk, known, policy)
    transfers = [bulk.posting(k, *sides) for k, sides in known.items()]
    for k, result in zip(known, await posting.post(s, transfers, whole=False), strict=True):
        outcomes[k] = result.outcome
    accepted = [k for k, outcome in enumerate(outcomes) if outcome is Outcome.OK]
    if accepted:
        await log.append(s, bulk.tenant, EVENT, bulk.entry(accepted), at=bulk.at)
    return bulk.view(outcomes)


async def _sealed(s: WriteSession, bulk: Bulk, places: Collection[int], policy: MemoPolicy) -> Bulk:
    """The request with what the ledger is to have of the memos of the items at `places`.

    One that the ledger then refuses leaves its sealed text behind. Nobody can ask for it, since its
    transfer id is used by nothing, and it ends with the sender's key like all the others.
    """
    found = {bulk.ids[k]: bulk.items[k].text for k in places}
    texts = {id_: text for id_, text in found.items() if text is not None}
    sealed = await memos.seal_many(s, bulk.tenant, bulk.sender, texts, policy, at=bulk.at)
    return replace(bulk, memos=sealed)


async def _sides(s: WriteSession, bulk: Bulk) -> list[tuple[AccountId | None, AccountId | None]]:
    """The sender's and the recipient's account of each item; each is looked up once.

    In one order for all requests: two that make the same accounts must not wait in a circle.
    """
    found: dict[tuple[CustomerId, AssetId], AccountId | None] = {}
    for asset in {item.asset for item in bulk.items}:
        account = await accounts.find(s, bulk.tenant, chart.customer(bulk.sender), asset)
        found[bulk.sender, asset] = None if account is None else account.id
    for theirs in sorted({(item.recipient, item.asset) for item in bulk.items}):
        found[theirs] = await _recipient(s, bulk.tenant, *theirs)
    return [
        (found[bulk.sender, item.asset], found[item.recipient, item.asset]) for item in bulk.items
    ]


async def _recipient(
    s: WriteSession, tenant: TenantId, recipient: CustomerId, asset: AssetId
) -> AccountId | None:
    """As of a single transfer; None for a stranger, who fails none of the others."""
    try:
        return await recipients_account(s, tenant, recipient, asset)
    except NotFound:
        return None
