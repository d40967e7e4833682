"""The intent's canonical form: what is read prints the same, and every field is in the digest."""

from dataclasses import replace
from typing import Any

import pytest

from custody.core.ids import IntentId, TenantId, format_id, new_uuid7
from custody.core.intents import Intent, IntentKind, Payout, Sweeps, SweptWallet
from custody.core.money import AssetId

PLACE = "0x000000000000000000000000000000000000dEaD"
PLAIN = Intent(
    id=IntentId(new_uuid7()),
    tenant_id=TenantId(new_uuid7()),
    kind=IntentKind.PAYOUT,
    chain_id=31337,
    sender=PLACE,
    sender_path="2/1",
    to=PLACE,
    value=5,
    data="0x",
    asset_id=AssetId("eip155:31337/slip44:60"),
    amount=5,
    beneficiary=PLACE,
    gas_limit=21_000,
    fee_max_wei=10**15,
    reference="test",
)
ASKED = replace(PLAIN, initiator=format_id("customer", new_uuid7()))
MANY = replace(PLAIN, payouts=(Payout(PLACE, 2, "first"), Payout(PLACE, 3, "second")))

SWEPT = replace(
    PLAIN,
    sweeps=Sweeps(PLACE, (SweptWallet(PLACE, "1/3", 2, 0), SweptWallet(PLACE, "1/4", 0))),
)


@pytest.mark.parametrize(
    ("intent", "schema"),
    [
        (PLAIN, "moorage.intent/1"),
        (ASKED, "moorage.intent/2"),
        (MANY, "moorage.intent/2"),
        (SWEPT, "moorage.intent/3"),
    ],
    ids=["plain", "asked", "many", "swept"],
)
def test_reads_back_what_it_prints(intent: Intent, schema: str) -> None:
    body = intent.to_json()
    assert body["schema"] == schema
    assert Intent.from_json(body) == intent
    assert Intent.from_json(body).digest() == intent.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"initiator": None},
        {"payouts": (Payout(PLACE, 5, "first"),)},
        {"amount": 6},
        {"beneficiary": PLACE.lower()},
    ],
    ids=str,
)
def test_who_asked_and_what_is_paid_are_in_the_digest(change: dict[str, Any]) -> None:
    assert replace(ASKED, **change).digest() != ASKED.digest()


def test_a_payout_moved_to_another_place_is_another_intent() -> None:
    first, second = MANY.payouts
    assert replace(MANY, payouts=(second, first)).digest() != MANY.digest()


@pytest.mark.parametrize(
    "body",
    [
        {**PLAIN.to_json(), "schema": "moorage.intent/3"},
        {**PLAIN.to_json(), "initiator": None},
        {k: v for k, v in ASKED.to_json().items() if k != "payouts"},
    ],
    ids=["unknown schema", "field of another schema", "field missing"],
)
def test_other_forms_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not an intent"):
        Intent.from_json(body)


def test_every_field_of_a_swept_wallet_is_in_the_digest() -> None:
    assert SWEPT.sweeps is not None
    first, second = SWEPT.sweeps.wallets
    for changed in (
        Sweeps(None, (first, second)),
        Sweeps(PLACE, (second, first)),
        Sweeps(PLACE, (first,)),
        Sweeps(PLACE, (replace(first, wallet=PLACE.lower()), second)),
        Sweeps(PLACE, (replace(first, path="1/5"), second)),
        Sweeps(PLACE, (replace(first, amount=3), second)),
        Sweeps(PLACE, (replace(first, nonce=1), second)),
        Sweeps(PLACE, (replace(first, nonce=None), second)),
    ):
        assert replace(SWEPT, sweeps=changed).digest() != SWEPT.digest(), changed


def test_an_older_schema_has_no_swept_wallets() -> None:
    body = SWEPT.to_json()
    with pytest.raises(ValueError, match="schema"):
        Intent.from_json({**body, "schema": "moorage.intent/2"})
    with pytest.raises(ValueError, match="schema"):
        Intent.from_json({**MANY.to_json(), "schema": "moorage.intent/3"})
