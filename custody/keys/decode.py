"""The signer's own reading of what a transaction does, from its raw bytes.

It shares no decoder with the code that builds calls. What it does not know, it refuses: another
selector, bytes left over, a padding that is not zero, value where none belongs.
"""

import re
from dataclasses import dataclass

from chains.evm.address import address_from_bytes, checksum, keccak
from custody.core.intents import Intent, IntentKind
from custody.keys import decode_safe, decode_sweeps
from custody.keys.refusal import Refusal, require
from custody.policy.document import Places

_ASSET = re.compile(r"eip155:([1-9][0-9]*)/(?:erc20:(0x[0-9a-f]{40})|slip44:60)")
_DATA = re.compile(r"0x(?:[0-9a-f]{2})*")

K = IntentKind
SENDERS = {
    K.PAYOUT: ("2/1", "payout"),
    K.PAYOUT_BATCH: ("2/1", "payout"),
    K.PAYOUT_ALLOWANCE: ("2/1", "payout"),
    K.SWEEP_TOKEN: ("2/2", "gas"),
    K.SWEEP_BATCH: ("2/2", "gas"),
    K.SWEEP_GAS: ("2/2", "gas"),
    K.PAYOUT_FILL: ("2/0", "treasury"),
    K.COLD_STORE: ("2/0", "treasury"),
    K.PAYOUT_SAFE: ("2/2", "gas"),
    K.SAFE_REJECT: ("2/2", "gas"),
    K.POOL_FUND: ("2/0", "treasury"),
    K.ALLOCATE: ("2/3", "allocator"),
    K.DEALLOCATE: ("2/3", "allocator"),
    K.CLAIM: ("2/3", "allocator"),
    K.RELEASE: ("2/3", "allocator"),
    K.ANCHOR: ("2/4", "anchorer"),
}
"""Which wallet may send which kind: path below the account, and its place in the policy."""


def _selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


TRANSFER = _selector("transfer(address,uint256)")
SWEEP = _selector("sweep(address)")
APPROVE = _selector("approve(address,uint256)")
PAY_TOKEN = _selector("payToken(address,uint256,uint256,uint256[])")
PAY_NATIVE = _selector("payNative(uint256,uint256[])")
RELEASE = _selector("release(address,uint256)")
ANCHOR = _selector("anchor(bytes32,uint64,bytes32,uint64,bytes32[])")
GUARD_CALLS = {
    K.ALLOCATE: _selector("allocate(bytes32,uint256,uint256)"),
    K.DEALLOCATE: _selector("deallocate(bytes32,uint256)"),
    K.CLAIM: _selector("claim(bytes32,uint256)"),
}
GUARD_WORDS = {K.ALLOCATE: 3, K.DEALLOCATE: 2, K.CLAIM: 2}
"""An entry also carries the fewest shares that may arrive: more can only make it revert."""

ANCHOR_HEAD_WORDS = 6
"""Log id, size, root, time, where the proof begins, how many hashes it has."""
PROOF_MAX = 64
"""Hashes of a consistency proof; sizes are below 2^63, and a proof has one more than levels."""

BATCH_MAX = 200
"""Payouts of one batch."""
BATCH_AMOUNT_MAX = 2**96 - 1
"""What one payout of a batch can carry."""

WHOLE_POSITION = 2**256 - 1
"""As the amount of `deallocate`: all of it. The money comes home, so it is no loosening."""


@dataclass(frozen=True, slots=True)
class AnchorCall:
    """What an anchor writes on chain; the signer compares it with what it signed itself.

    `time_s` is a Unix time in seconds.
    """

    size: int
    root: bytes
    time_s: int


def token_of(intent: Intent) -> str | None:
    """The token's address (EIP-55), None for the chain's coin. Refuses another chain's asset."""
    match = _ASSET.fullmatch(intent.asset_id)
    if match is None:
        raise Refusal("asset", "is not an asset on a chain")
    require(int(match[1]) == intent.chain_id, "asset", "is an asset of another chain")
    return checksum(match[2]) if match[2] else None


def check(intent: Intent, places: Places) -> AnchorCall | None:
    """Refuse unless the raw fields do exactly what the intent says, between its places.

    Checks in this order: asset, sender, delegation, call, destination. The asset is checked for
    every kind, since rules and limits go by it. Returns what an anchor carries.
    """
    require(_DATA.fullmatch(intent.data) is not None, "data", "must be lowercase 0x hex")
    data = bytes.fromhex(intent.data[2:])
    token = token_of(intent)
    _check_sender(intent, places)
    _check_delegation(intent, places)
    many = intent.kind is K.PAYOUT_BATCH
    require(many or not intent.payouts, "payouts", "only a batch has several")
    named = intent.kind in (K.SWEEP_BATCH, K.SWEEP_GAS)
    require(named or intent.sweeps is None, "sweeps", "this kind names no deposit addresses")
    match intent.kind:
        case K.SWEEP_TRANSFER:
            require(token is not None, "asset", "a native coin is swept by its own kind")
            _check_transfer(intent, data)
            _check_transfer_destination(intent, places)
        case K.SWEEP_BATCH | K.SWEEP_GAS:
            decode_sweeps.check(intent, places, token, data)
        case K.PAYOUT | K.SWEEP_NATIVE | K.PAYOUT_FILL | K.COLD_STORE | K.POOL_FUND:
            _check_transfer(intent, data)
            _check_transfer_destination(intent, places)
        case K.PAYOUT_SAFE | K.SAFE_REJECT:
            decode_safe.check(intent, places, token, data)
        case K.PAYOUT_BATCH:
            _check_batch(intent, places, data)
        case K.PAYOUT_ALLOWANCE:
            _check_allowance(intent, places, data)
        case K.SWEEP_TOKEN:
            _check_sweep(intent, places, data)
        case K.ALLOCATE | K.DEALLOCATE | K.CLAIM:
            _check_guard_call(intent, places, data)
        case K.RELEASE:
            _check_release(intent, places, data)
        case K.ANCHOR:
            return _anchor(intent, places, data)
    return None


def _check_sender(intent: Intent, places: Places) -> None:
    if intent.kind is K.SWEEP_NATIVE:
        require(intent.sender_path.startswith("0/"), "sender", "must be a native deposit address")
        return
    if intent.kind is K.SWEEP_TRANSFER:
        deposit = intent.sender_path.startswith(("0/", "1/"))
        require(deposit, "sender", "must be a deposit address")
        return
    path, role = SENDERS[intent.kind]
    require(intent.sender_path == path, "sender", f"{intent.kind.value} is sent from {path}")
    require(intent.sender == getattr(places, role), "sender", f"is not the {role} of the policy")


def _check_delegation(intent: Intent, places: Places) -> None:
    d = intent.delegation
    if d is None:
        return
    require(intent.kind is K.SWEEP_TOKEN, "delegation", "only sweeps of tokens carry one")
    listed = places.sweeper is not None and d.delegate == places.sweeper
    require(listed, "delegation", "the delegate is not the sweeper of the policy")
    require(d.authority == intent.to, "delegation", "is for another address than the call")
    require(d.authority_path.startswith("1/"), "delegation", "is not of a token deposit address")


def _check_transfer(intent: Intent, data: bytes) -> None:
    """Native: all in `to` and `value`. Token: exactly one ERC-20 transfer."""
    token = token_of(intent)
    require(intent.amount > 0, "amount", "must be above zero")
    if token is None:
        require(data == b"", "data", "a native transfer carries none")
        require(intent.to == intent.beneficiary, "beneficiary", "is not where the coin goes")
        require(intent.value == intent.amount, "amount", "is not the value sent")
        return
    require(intent.to == token, "to", "is not the token")
    require(intent.value == 0, "value", "a token transfer carries none")
    to, amount = _words(data, TRANSFER, 2)
    require(_address(to) == intent.beneficiary, "beneficiary", "is not where the token goes")
    require(_number(amount) == intent.amount, "amount", "is not the amount in the call")


def _check_transfer_destination(intent: Intent, places: Places) -> None:
    if intent.kind is K.POOL_FUND:
        _check_guard(intent.beneficiary, intent, places)
        return
    match intent.kind:
        case K.SWEEP_NATIVE | K.SWEEP_TRANSFER:
            good = intent.beneficiary == places.treasury
        case K.PAYOUT_FILL:
            good = intent.beneficiary == places.payout
        case K.COLD_STORE:
            good = places.safe is not None and intent.beneficiary == places.safe
        case _:
            good = _is_outside(intent.beneficiary, intent, places)
    require(good, "place", f"{intent.kind.value} may not go to {intent.beneficiary}")


def _is_outside(address: str, intent: Intent, places: Places) -> bool:
    """No place of ours, not the token itself, not nobody."""
    own = {places.treasury, places.payout, places.gas, places.allocator, places.anchorer}
    own |= set(places.guards)
    contracts = {places.sweeper, places.anchor, places.payouts, places.safe, places.hub}
    contracts |= {token_of(intent)}
    return address not in own | contracts and int(address, 16) != 0


def _check_batch(intent: Intent, places: Places, data: bytes) -> None:
    """The words of the call are the intent's payouts, in their order, under the intent's own id."""
    token = token_of(intent)
    _check_batch_contract(intent, places)
    require(intent.to == intent.beneficiary, "to", "is not the batch contract")
    head = _batch_head(intent, data, token)
    require(_number(head[0]) == intent.id.int, "batch", "is not numbered by the intent")
    words = _batch_words(data, len(head))
    require(0 < len(words) <= BATCH_MAX, "payouts", f"a batch has 1 to {BATCH_MAX}")
    found = [(address_from_bytes(word[:20]), _number(word[20:])) for word in words]
    meant = [(p.recipient, p.amount) for p in intent.payouts]
    require(found == meant, "payouts", "are not those in the call")
    for recipient, amount in found:
        require(0 < amount <= BATCH_AMOUNT_MAX, "amount", "of each payout must be above zero")
        outside = _is_outside(recipient, intent, places)
        require(outside, "place", f"{intent.kind.value} may not go to {recipient}")
    total = sum(amount for _, amount in found)
    require(total == intent.amount, "amount", "is not the sum of the payouts")


def _batch_head(intent: Intent, data: bytes, token: str | None) -> list[bytes]:
    """The words before the payouts: batch id, and where the payouts begin. A token's batch has the
    token before them and the sum between them, which are checked here."""
    if token is None:
        require(intent.value == intent.amount, "amount", "is not the value sent")
        number, offset = _words(data[: 4 + 64], PAY_NATIVE, 2)
        require(_number(offset) == 64, "data", "the payouts are not where they are")
        return [number, offset]
    require(intent.value == 0, "value", "a batch of a token carries none")
    asset, number, total, offset = _words(data[: 4 + 128], PAY_TOKEN, 4)
    require(_address(asset) == token, "asset", "is not the token in the call")
    require(_number(total) == intent.amount, "amount", "is not the sum in the call")
    require(_number(offset) == 128, "data", "the payouts are not where they are")
    return [number, asset, total, offset]


def _batch_words(data: bytes, head_words: int) -> list[bytes]:
    """What follows the head: how many, and so many words; nothing after them."""
    rest = data[4 + 32 * head_words :]
    count = _number(rest[:32])
    require(len(rest) == 32 + 32 * count, "data", "has bytes missing or left over")
    return [rest[32 + 32 * i : 64 + 32 * i] for i in range(count)]


def _check_batch_contract(intent: Intent, places: Places) -> None:
    named = places.payouts is not None and intent.beneficiary == places.payouts
    require(named, "place", "is not the batch contract of the policy")


def _check_allowance(intent: Intent, places: Places, data: bytes) -> None:
    """Of an amount that a batch can use, so never without a bound. The contract takes from whoever
    calls it alone, and what calls it from this wallet is a batch that was checked."""
    token = token_of(intent)
    require(token is not None, "asset", "a native coin needs no allowance")
    require(intent.to == token, "to", "is not the token")
    require(intent.value == 0, "value", "an allowance carries none")
    _check_batch_contract(intent, places)
    spender, amount = _words(data, APPROVE, 2)
    require(
        _address(spender) == intent.beneficiary, "beneficiary", "is not the spender in the call"
    )
    require(_number(amount) == intent.amount, "amount", "is not the amount in the call")
    bounded = 0 < intent.amount <= BATCH_MAX * BATCH_AMOUNT_MAX
    require(bounded, "amount", "is not what one batch can carry")


def _check_sweep(intent: Intent, places: Places, data: bytes) -> None:
    """The sweeper's code sends to its own immutable treasury, so only the token is in the call."""
    token = token_of(intent)
    require(token is not None, "asset", "a native coin is swept by its own transaction")
    require(intent.value == 0, "value", "a sweep carries none")
    (word,) = _words(data, SWEEP, 1)
    require(_address(word) == token, "asset", "is not the token in the call")
    require(intent.beneficiary == places.treasury, "place", "a sweep goes to the treasury")


def _check_guard(guard: str, intent: Intent, places: Places) -> None:
    """A guard's call names no asset: what the intent says it moves must be what the guard holds."""
    asset = places.guards.get(guard)
    require(asset is not None, "place", f"{guard} is not a guard of the policy")
    require(asset == intent.asset_id, "asset", f"guard {guard} holds {asset}")


def _check_guard_call(intent: Intent, places: Places, data: bytes) -> None:
    _check_guard(intent.to, intent, places)
    require(intent.value == 0, "value", "a call of a guard carries none")
    require(intent.beneficiary == intent.to, "beneficiary", "the guard keeps the position")
    _, number, *_ = _words(data, GUARD_CALLS[intent.kind], GUARD_WORDS[intent.kind])
    if intent.kind is K.CLAIM:
        return  # the number is the request; the guard knows its amount
    whole = intent.kind is K.DEALLOCATE and _number(number) == WHOLE_POSITION
    same = whole or _number(number) == intent.amount
    require(same, "amount", "is not the amount in the call")


def _check_release(intent: Intent, places: Places, data: bytes) -> None:
    _check_guard(intent.to, intent, places)
    require(intent.value == 0, "value", "a call of a guard carries none")
    payee, amount = _words(data, RELEASE, 2)
    require(_address(payee) == intent.beneficiary, "beneficiary", "is not the payee in the call")
    require(_number(amount) == intent.amount, "amount", "is not the amount in the call")
    listed = {places.treasury, *places.payees}
    require(intent.beneficiary in listed, "place", "is not a payee of the policy")


def _anchor(intent: Intent, places: Places, data: bytes) -> AnchorCall:
    anchored = places.anchor is not None and intent.to == places.anchor
    require(anchored, "place", "is not the anchor of the policy")
    require(intent.value == 0 and intent.amount == 0, "value", "an anchor moves no money")
    head_bytes = 4 + 32 * ANCHOR_HEAD_WORDS
    _, size, root, time_s, offset, count = _words(data[:head_bytes], ANCHOR, ANCHOR_HEAD_WORDS)
    require(_number(offset) == 32 * (ANCHOR_HEAD_WORDS - 1), "data", "the proof is not where it is")
    require(_number(count) <= PROOF_MAX, "data", "the proof is too long")
    fits = len(data) == head_bytes + 32 * _number(count)
    require(fits, "data", "has bytes missing or left over")
    require(_number(size) < 2**63 and _number(time_s) < 2**64, "data", "a number is out of range")
    return AnchorCall(_number(size), root, _number(time_s))


def _words(data: bytes, selector: bytes, count: int) -> list[bytes]:
    """The static words of a call; nothing before, nothing after."""
    require(data[:4] == selector, "selector", f"0x{data[:4].hex()} is not the call of this kind")
    require(len(data) == 4 + 32 * count, "data", "has bytes missing or left over")
    return [data[4 + 32 * i : 36 + 32 * i] for i in range(count)]


def _address(word: bytes) -> str:
    require(word[:12] == bytes(12), "data", "an address is not padded with zeros")
    return address_from_bytes(word[12:])


def _number(word: bytes) -> int:
    return int.from_bytes(word, "big")
