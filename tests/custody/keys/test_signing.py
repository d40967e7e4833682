"""What comes out: right bytes, low s, the right sender; the same again; replaced only by fee."""

from dataclasses import replace

import pytest
from coincurve import PrivateKey
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.evm.transactions import CURVE_ORDER, decode_raw
from custody.core.intents import Intent, IntentKind
from custody.core.ports import Fees
from custody.keys import mnemonic
from custody.keys.decode import GUARD_CALLS, RELEASE
from custody.keys.desk import Desk
from custody.keys.hd import derive_public, encode_xpub, master
from custody.keys.keyring import Keyring, new_secrets
from custody.keys.limits import GAS_DEFAULT_WEI
from custody.keys.refusal import Refusal
from custody.keys.request import VERSIONS_MAX
from custody.keys.store import Signed
from tests.custody.keys.vault_world import (
    CHAIN,
    COIN_GUARD,
    FEES,
    GUARD,
    NATIVE,
    OUTSIDE,
    PAYEE,
    SMALL,
    SWEEPER,
    VaultWorld,
    call,
)

pytestmark = pytest.mark.unit

K = IntentKind


def check_signed(made: Signed, intent: Intent, nonce: int) -> None:
    """Against eth-account and our own strict reader; low s (Property 45)."""
    assert Account.recover_transaction(made.raw) == intent.sender
    read = decode_raw(made.raw)
    assert read.sender == intent.sender
    assert read.hash == made.tx_hash
    t = read.transaction
    assert (t.chain_id, t.nonce, t.to, t.value) == (CHAIN, nonce, intent.to, intent.value)
    assert "0x" + t.data.hex() == intent.data
    assert t.max_fee_per_gas * t.gas_limit <= intent.fee_max_wei


def test_payout_of_a_token(world: VaultWorld, desk: Desk) -> None:
    intent = world.payout()
    check_signed(desk.sign(world.request(intent, nonce=9)), intent, 9)


def test_native_payout(world: VaultWorld, desk: Desk) -> None:
    intent = replace(world.payout(), asset_id=NATIVE, to=OUTSIDE, value=SMALL, data="0x")
    check_signed(desk.sign(world.request(intent)), intent, 0)


def test_native_sweep_from_a_deposit_address(world: VaultWorld, desk: Desk) -> None:
    treasury, sender = world.place("treasury"), derive_public(world.made.account_xpub, 0, 7)
    intent = replace(
        world.payout(), kind=K.SWEEP_NATIVE, sender=sender, sender_path="0/7", to=treasury,
        beneficiary=treasury, value=SMALL, data="0x", asset_id=NATIVE,
    )  # fmt: skip
    check_signed(desk.sign(world.request(intent)), intent, 0)


def test_token_sweep_carries_the_wallets_own_authorisation(world: VaultWorld, desk: Desk) -> None:
    wallet = derive_public(world.made.account_xpub, 1, 3)
    intent = world.token_sweep(wallet, "1/3")
    made = desk.sign(world.request(intent))
    check_signed(made, intent, 0)
    (authorization,) = decode_raw(made.raw).transaction.authorizations
    assert authorization.authority() == wallet
    assert authorization.delegate == SWEEPER


def test_a_wallet_once_delegated_is_swept_without(world: VaultWorld, desk: Desk) -> None:
    """Also after a restart: what was delegated is on disk with the binding."""
    wallet = derive_public(world.made.account_xpub, 1, 3)
    desk.sign(world.request(world.token_sweep(wallet, "1/3")))
    again = world.token_sweep(wallet)
    made = world.open().sign(world.request(again, nonce=1))
    check_signed(made, again, 1)
    assert made.raw.startswith("0x02")


def test_a_refused_sweep_delegates_nothing(world: VaultWorld, desk: Desk) -> None:
    """The memory of a delegation is of one commit with the bytes that carry it."""
    wallet = derive_public(world.made.account_xpub, 1, 3)
    dear = replace(world.token_sweep(wallet, "1/3"), gas_limit=10**6, fee_max_wei=10**20)
    price = GAS_DEFAULT_WEI // 10**6 + 1
    with pytest.raises(Refusal, match="limit: gas@"):
        desk.sign(world.request(dear, fees=Fees(price, price)))
    with pytest.raises(Refusal, match="not_delegated"):
        desk.sign(world.request(world.token_sweep(wallet)))


@pytest.mark.parametrize(
    ("kind", "data", "beneficiary"),
    [
        (K.ALLOCATE, "allocate", GUARD),
        (K.DEALLOCATE, "deallocate", GUARD),
        (K.CLAIM, "claim", GUARD),
        (K.RELEASE, "release", PAYEE),
    ],
)
def test_guard_calls(world: VaultWorld, desk: Desk, kind: K, data: str, beneficiary: str) -> None:
    selector = GUARD_CALLS.get(kind, RELEASE).hex()
    first = PAYEE if kind is K.RELEASE else 1
    rest = (4,) if kind is K.ALLOCATE else ()
    intent = replace(
        world.payout(5), kind=kind, sender=world.place("allocator"), sender_path="2/3", to=GUARD,
        beneficiary=beneficiary, data=call(selector, first, 5, *rest),
    )  # fmt: skip
    check_signed(desk.sign(world.request(intent)), intent, 0)


def test_a_pool_is_funded_with_its_own_asset(world: VaultWorld, desk: Desk) -> None:
    token = replace(
        world.payout(beneficiary=GUARD), kind=K.POOL_FUND, sender=world.place("treasury"),
        sender_path="2/0",
    )  # fmt: skip
    check_signed(desk.sign(world.request(token)), token, 0)
    coin = replace(
        token, id=world.payout().id, to=COIN_GUARD, beneficiary=COIN_GUARD, value=SMALL,
        data="0x", asset_id=NATIVE,
    )  # fmt: skip
    check_signed(desk.sign(world.request(coin, nonce=1)), coin, 1)


def test_the_whole_position_may_come_home(world: VaultWorld, desk: Desk) -> None:
    data = call(GUARD_CALLS[K.DEALLOCATE].hex(), 1, 2**256 - 1)
    intent = replace(
        world.payout(5), kind=K.DEALLOCATE, sender=world.place("allocator"), sender_path="2/3",
        to=GUARD, beneficiary=GUARD, data=data,
    )  # fmt: skip
    assert desk.sign(world.request(intent)).raw
    data = call(GUARD_CALLS[K.ALLOCATE].hex(), 1, 2**256 - 1, 0)
    with pytest.raises(Refusal, match="amount"):
        fresh = replace(intent, id=world.payout().id, kind=K.ALLOCATE, data=data)
        desk.sign(world.request(fresh, nonce=1))


@settings(max_examples=200, deadline=None)
@given(digest=st.binary(min_size=32, max_size=32), index=st.integers(0, 2**31 - 1))
def test_low_s_for_any_digest(digest: bytes, index: int) -> None:
    """Property 45; `Keyring.sign` itself checks that the key is recovered."""
    made = _KEYS.sign(0, f"0/{index}", digest)
    assert 0 < made.s <= CURVE_ORDER // 2


def test_addresses_are_those_of_the_xpub() -> None:
    xpub = _KEYS.account_xpub(3)
    assert xpub == encode_xpub(_ROOT.derive("m/44'/60'/3'").public())
    assert _KEYS.address(3, "1/5") == derive_public(xpub, 1, 5)


def test_keyring_shows_no_secret() -> None:
    """Property 40."""
    shown = repr(_KEYS) + repr(vars(_KEYS))
    for secret in (_ENTROPY.hex(), str(_ENTROPY), "55" * 32):
        assert secret not in shown
    with pytest.raises(ValueError, match="secrets") as caught:
        Keyring(b'{"entropy": "feedfeed"')
    assert "feedfeed" not in str(caught.value)


def test_same_request_same_bytes_whatever_happened(world: VaultWorld, desk: Desk) -> None:
    """After a restart, a newer policy and an expired approval: the bytes exist, so they stand."""
    request = world.request(world.payout(5 * SMALL), world.first, world.second)
    made = desk.sign(request)
    world.clock.advance(10**6)
    previous = desk.status()["tenants"][0]["policy_hash"]
    desk.load_policy(world.signed_policy(version=2, previous=previous, rules=[]))
    assert world.open().sign(request) == made


def test_only_a_full_bump_replaces(world: VaultWorld, desk: Desk) -> None:
    """Property 12: 12.5 % on both fees; all else gets the bytes that exist."""
    intent = world.payout()
    first = desk.sign(world.request(intent))
    for fees in (
        Fees(FEES.max_fee_per_gas * 1125 // 1000 - 1, FEES.max_priority_fee_per_gas * 2),
        Fees(FEES.max_fee_per_gas * 2, FEES.max_priority_fee_per_gas),
        Fees(FEES.max_fee_per_gas // 2, FEES.max_priority_fee_per_gas // 2),
    ):
        assert desk.sign(world.request(intent, fees=fees)) == first
    bump = Fees(FEES.max_fee_per_gas * 1125 // 1000, FEES.max_priority_fee_per_gas * 1125 // 1000)
    second = desk.sign(world.request(intent, fees=bump))
    assert second.raw != first.raw
    check_signed(second, intent, 0)
    assert desk.sign(world.request(intent)) == first
    assert desk.sign(world.request(intent, fees=bump)) == second


@pytest.mark.parametrize(
    ("fees", "why"),
    [
        (Fees(GAS_DEFAULT_WEI // 10**6 + 1, GAS_DEFAULT_WEI // 10**6 + 1), "passes the gas limit"),
        (Fees(10**15, 10**15), "passes the intent's own cap"),
        (Fees(2 * FEES.max_fee_per_gas, 3 * FEES.max_fee_per_gas), "tip above the fee"),
        (Fees(2**256 - 1, 2**256 - 1), "no transaction can carry it"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_forbidden_replacement_gets_the_bytes_that_exist(
    world: VaultWorld, desk: Desk, fees: Fees, why: str
) -> None:
    """Property 12: a refusal would say that nothing was signed, and the bytes can still be sent."""
    intent = replace(world.payout(), gas_limit=10**6, fee_max_wei=10**20)
    first = desk.sign(world.request(intent))
    assert desk.sign(world.request(intent, fees=fees)) == first, why
    bump = Fees(2 * FEES.max_fee_per_gas, 2 * FEES.max_priority_fee_per_gas)
    assert desk.sign(world.request(intent, fees=bump)) != first


def test_versions_of_an_intent_are_few(world: VaultWorld, desk: Desk) -> None:
    """Property 12: a caller that asks for dearer bytes again and again gets those that exist."""
    intent = replace(world.payout(), fee_max_wei=10**18)
    fees = [Fees(FEES.max_fee_per_gas * 5**n // 4**n, FEES.max_priority_fee_per_gas * 5**n // 4**n)
            for n in range(VERSIONS_MAX + 1)]  # fmt: skip
    made = [desk.sign(world.request(intent, fees=f)) for f in fees]
    assert len({m.raw for m in made}) == VERSIONS_MAX
    assert made[-1] == made[-2]


_ENTROPY = bytes(range(32))
_ROOT = master(mnemonic.seed_from_mnemonic(mnemonic.mnemonic_from_entropy(_ENTROPY)))
_KEYS = Keyring(
    b'{"authority": "", "entropy": "%s", "log_key": "%s", "origin": "o"}'
    % (_ENTROPY.hex().encode(), b"55" * 32)
)


def test_a_signature_that_does_not_fit_its_key_never_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Property 45: the other parity recovers another address, another digest another key."""
    keyring = Keyring(new_secrets(b"a" * 32, "log.test"))
    good = PrivateKey.sign_recoverable

    def other_parity(key: PrivateKey, digest: bytes, hasher: None) -> bytes:
        raw = good(key, digest, hasher=hasher)
        return bytes(raw[:64] + bytes([raw[64] ^ 1]))

    def other_digest(key: PrivateKey, digest: bytes, hasher: None) -> bytes:
        return bytes(good(key, digest[::-1], hasher=hasher))

    for fault in (other_parity, other_digest):
        monkeypatch.setattr(PrivateKey, "sign_recoverable", fault)
        with pytest.raises(RuntimeError, match="its own check"):
            keyring.sign(0, "2/1", bytes(range(32)))
