"""Property 17 for sweeps: the signer knows each address by its own keys, and where it ends."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chains.evm.contracts.erc20 import erc20_transfer
from chains.evm.transactions import decode_raw
from custody.core.intents import Intent, IntentKind, Sweeps, SweptWallet
from custody.core.ports import Fees
from custody.keys import history
from custody.keys.decode_sweeps import TOP_UP_MAX_WEI
from custody.keys.desk import Desk
from custody.keys.hd import derive_public
from custody.keys.limits import GAS_DEFAULT_WEI
from custody.keys.refusal import Refusal
from tests.custody.keys.vault_world import (
    ASSET,
    CHAIN,
    FEES,
    HUB,
    NATIVE,
    OUTSIDE,
    PAYOUTS,
    SWEEPER,
    TOKEN,
    VaultWorld,
    call,
    word,
)

pytestmark = pytest.mark.unit
K = IntentKind


@pytest.fixture
def world(tmp_path: Path) -> VaultWorld:
    return VaultWorld(tmp_path / "signer")


@pytest.fixture
def desk(world: VaultWorld) -> Desk:
    return world.open()


def wallet(w: VaultWorld, index: int, amount: int, nonce: int | None, branch: int = 1) -> Any:
    address = derive_public(w.made.account_xpub, branch, index)
    return SweptWallet(address, f"{branch}/{index}", amount, nonce)


def three(w: VaultWorld) -> tuple[SweptWallet, ...]:
    """Never used, delegated before, and one that signs again at a later nonce."""
    return (wallet(w, 3, 600, 0), wallet(w, 4, 0, None), wallet(w, 9, 5, 7))


def refused(desk: Desk, world: VaultWorld, intent: Intent) -> str:
    with pytest.raises(Refusal) as caught:
        desk.sign(world.request(intent))
    return caught.value.rule


def test_a_batch_carries_the_authorisations_it_names(desk: Desk, world: VaultWorld) -> None:
    made = three(world)
    intent = world.hub_sweep(made)
    signed = decode_raw(desk.sign(world.request(intent)).raw).transaction
    found = [(a.authority(), a.delegate, a.nonce) for a in signed.authorizations]
    assert found == [(made[0].wallet, SWEEPER, 0), (made[2].wallet, SWEEPER, 7)]
    assert (signed.to, signed.value, "0x" + signed.data.hex()) == (HUB, 0, intent.data)
    assert Intent.from_json(intent.to_json()) == intent
    assert intent.to_json()["schema"] == "moorage.intent/3"


def test_a_dearer_version_carries_the_same_authorisations(desk: Desk, world: VaultWorld) -> None:
    intent = world.hub_sweep(three(world))
    first = desk.sign(world.request(intent))
    fees = Fees(FEES.max_fee_per_gas * 2, FEES.max_priority_fee_per_gas * 2)
    second = desk.sign(world.request(intent, fees=fees))
    assert first.raw != second.raw
    one, two = (decode_raw(x.raw).transaction.authorizations for x in (first, second))
    assert one == two


def test_two_hundred_fit_and_one_more_does_not(desk: Desk, world: VaultWorld) -> None:
    many = tuple(wallet(world, i, 1, 0) for i in range(201))
    assert refused(desk, world, world.hub_sweep(many)) == "sweeps"
    signed = decode_raw(desk.sign(world.request(world.hub_sweep(many[:200]))).raw).transaction
    assert len(signed.authorizations) == 200


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"to": OUTSIDE}, "place"),
    ({"to": PAYOUTS}, "place"),
    ({"to": SWEEPER}, "place"),
    ({"value": 1}, "value"),
    ({"amount": 604}, "amount"),
    ({"beneficiary": OUTSIDE}, "place"),
    ({"sender_path": "2/0"}, "sender"),
    ({"asset_id": NATIVE}, "asset"),
    ({"asset_id": f"eip155:{CHAIN}/erc20:{'0x' + 'cd' * 20}"}, "asset"),
    ({"sweeps": None}, "sweeps"),
    ({"kind": K.SWEEP_TOKEN}, "sweeps"),
    ({"kind": K.PAYOUT_BATCH}, "sender"),
    ({"data": call("01681a62", TOKEN)}, "selector"),
    ({"data": "0x"}, "selector"),
]


@pytest.mark.parametrize(("change", "rule"), CHANGES)
def test_a_batch_that_differs_in_one_thing(
    desk: Desk, world: VaultWorld, change: dict[str, Any], rule: str
) -> None:
    assert refused(desk, world, world.hub_sweep(three(world), **change)) == rule


def named(w: VaultWorld, *wallets: SweptWallet, delegate: str | None = SWEEPER) -> dict[str, Any]:
    return {"sweeps": Sweeps(delegate, wallets)}


def test_wallets_that_differ_from_the_call(desk: Desk, world: VaultWorld) -> None:
    """Every field of every wallet is in the call, at its path, or in its authorisation."""
    a, b, c = three(world)
    good = world.hub_sweep((a, b, c))
    rows: list[tuple[dict[str, Any], str]] = [
        (named(world, a, b), "sweeps"),
        (named(world, b, a, c), "sweeps"),
        (named(world, replace(a, amount=601), b, c), "sweeps"),
        (named(world, replace(a, wallet=b.wallet), b, c), "sweeps"),
        (named(world, replace(a, path="1/5"), b, c), "sender"),
        (named(world, replace(a, path="1/03"), b, c), "sender"),
        (named(world, a, replace(b, path="1/5"), c), "sender"),
        (named(world, replace(a, path="0/3"), b, c), "delegation"),
        (named(world, replace(a, path="2/0"), b, c), "delegation"),
        (named(world, a, b, c, delegate=OUTSIDE), "delegation"),
        (named(world, a, b, c, delegate=HUB), "delegation"),
        (named(world, b, delegate=None), "sweeps"),
    ]
    for change, rule in rows:
        assert refused(desk, world, replace(good, **change)) == rule, change
    twice = world.hub_sweep((a, b, a))
    assert refused(desk, world, twice) == "sweeps"


@pytest.mark.parametrize("where", ["0/3", "treasury", "gas", "stranger"])
def test_only_token_addresses_of_ours_are_delegated(
    desk: Desk, world: VaultWorld, where: str
) -> None:
    """Never a native address, a wallet of ours, nor anybody else's."""
    others = {
        "0/3": wallet(world, 3, 5, 0, branch=0),
        "treasury": SweptWallet(world.place("treasury"), "2/0", 5, 0),
        "gas": SweptWallet(world.place("gas"), "1/2", 5, 0),
        "stranger": SweptWallet(OUTSIDE, "1/3", 5, 0),
    }
    rule = refused(desk, world, world.hub_sweep((others[where],)))
    assert rule in ("delegation", "sender")
    assert not desk._store.is_delegated(
        world.request(world.payout()).tenant, CHAIN, others[where].wallet, SWEEPER
    )


def test_bytes_that_do_not_belong(desk: Desk, world: VaultWorld) -> None:
    good = world.hub_sweep(three(world))
    head, rest = good.data[: 2 + 8 + 64], good.data[2 + 8 + 64 * 2 :]
    for data in (
        good.data + "00" * 32,
        good.data[:-64],
        good.data[:-2],
        head + word(96) + rest,  # the words begin elsewhere
        head + word(64) + word(2**256 - 1) + rest[64:],
        head + word(64) + word(0),
        good.data[:10] + "11" + good.data[12:],  # the token's padding
    ):
        assert refused(desk, world, replace(good, data=data)) in ("data", "sweeps")


def test_a_batch_counts_its_gas_and_a_refused_one_delegates_nothing(
    desk: Desk, world: VaultWorld
) -> None:
    a, b, c = three(world)
    dear = world.hub_sweep((a, b, c), gas_limit=10**7, fee_max_wei=10**20)
    price = GAS_DEFAULT_WEI // 10**7 + 1
    with pytest.raises(Refusal, match="limit: gas@"):
        desk.sign(world.request(dear, fees=Fees(price, price)))
    assert refused(desk, world, world.token_sweep(a.wallet)) == "not_delegated"
    desk.sign(world.request(world.hub_sweep((a, b, c))))
    assert desk.sign(world.request(world.token_sweep(a.wallet), nonce=1)).raw


def test_a_page_of_history_stays_below_the_line_limit(
    desk: Desk, world: VaultWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PAGE_BYTES", 3_000)
    for nonce in range(3):
        desk.sign(world.request(world.hub_sweep(three(world)), nonce=nonce))
    first = desk.history(CHAIN, world.place("gas"), 0)
    assert 0 < len(first) < 3
    assert desk.history(CHAIN, world.place("gas"), len(first))


# --- gas for an address's own transfer, and that transfer -------------------------------------


def test_gas_goes_to_own_deposit_addresses_and_is_bounded(desk: Desk, world: VaultWorld) -> None:
    for nonce, branch in enumerate((0, 1)):
        to = wallet(world, 3, 0, None, branch).wallet
        good = world.top_up(to, f"{branch}/3", 10**14)
        assert desk.sign(world.request(good, nonce=nonce)).raw


def test_a_top_up_that_differs(desk: Desk, world: VaultWorld) -> None:
    to = wallet(world, 3, 0, None, 0).wallet
    good = world.top_up(to, "0/3", 1_000)
    pair = SweptWallet(to, "0/3", 1_000)
    rows: list[tuple[Intent, str]] = [
        (world.top_up(to, "0/3", TOP_UP_MAX_WEI + 1), "amount"),
        (world.top_up(to, "0/3", 0), "amount"),
        (world.top_up(to, "0/4", 1_000), "sender"),
        (world.top_up(OUTSIDE, "0/3", 1_000), "sender"),
        (world.top_up(world.place("treasury"), "2/0", 1_000), "place"),
        (replace(good, value=999), "amount"),
        (replace(good, to=OUTSIDE), "beneficiary"),
        (replace(good, data="0x00"), "data"),
        (replace(good, asset_id=ASSET), "asset"),
        (replace(good, sweeps=None), "sweeps"),
        (replace(good, sweeps=Sweeps(None, (pair, pair))), "sweeps"),
        (replace(good, sweeps=Sweeps(SWEEPER, (pair,))), "sweeps"),
        (replace(good, sweeps=Sweeps(None, (replace(pair, amount=1),))), "sweeps"),
        (replace(good, sweeps=Sweeps(None, (replace(pair, nonce=0),))), "sweeps"),
        (replace(good, sender_path="2/1"), "sender"),
    ]
    for intent, rule in rows:
        assert refused(desk, world, intent) == rule, intent


def test_gas_that_is_given_away_counts_as_burned(desk: Desk, world: VaultWorld) -> None:
    to = wallet(world, 3, 0, None, 0).wallet
    for nonce in range(GAS_DEFAULT_WEI // TOP_UP_MAX_WEI - 1):
        desk.sign(world.request(world.top_up(to, "0/3", TOP_UP_MAX_WEI), nonce=nonce))
    with pytest.raises(Refusal, match="limit: gas@"):
        desk.sign(world.request(world.top_up(to, "0/3", TOP_UP_MAX_WEI), nonce=999))


def own_transfer(w: VaultWorld, branch: int, **changes: Any) -> Intent:
    treasury = w.place("treasury")
    fields: dict[str, Any] = {
        "kind": K.SWEEP_TRANSFER,
        "sender": derive_public(w.made.account_xpub, branch, 3),
        "sender_path": f"{branch}/3",
        "to": TOKEN,
        "data": "0x" + erc20_transfer(treasury, 50).hex(),
        "amount": 50,
        "beneficiary": treasury,
    }
    return replace(w.payout(), **{**fields, **changes})


def test_a_deposit_address_transfers_to_the_treasury_only(desk: Desk, world: VaultWorld) -> None:
    for branch in (0, 1):
        assert desk.sign(world.request(own_transfer(world, branch))).raw
    rows: list[tuple[dict[str, Any], str]] = [
        ({"beneficiary": OUTSIDE, "data": call("a9059cbb", OUTSIDE, 50)}, "place"),
        ({"data": call("a9059cbb", OUTSIDE, 50)}, "beneficiary"),
        ({"data": call("095ea7b3", world.place("treasury"), 50)}, "selector"),
        ({"amount": 51}, "amount"),
        ({"value": 1}, "value"),
        ({"to": OUTSIDE}, "to"),
        ({"sender_path": "1/4"}, "sender"),
        ({"sender_path": "2/0", "sender": world.place("treasury")}, "sender"),
        ({"asset_id": NATIVE, "to": world.place("treasury"), "value": 50, "data": "0x"}, "asset"),
    ]
    for change, rule in rows:
        intent = own_transfer(world, 1, **change)
        with pytest.raises(Refusal) as caught:
            desk.sign(world.request(intent, nonce=5))
        assert caught.value.rule == rule, change


def test_no_payout_goes_to_the_hub(desk: Desk, world: VaultWorld) -> None:
    assert refused(desk, world, world.payout(beneficiary=HUB)) == "place"
