"""The signer's own reading of a call that lets the treasury's Safe act.

Who may move what the Safe holds is decided by its owners' keys, nobody's here, and checked by the
contract. Read here is that the call does what the intent says and nothing beside it: a plain
call, no delegate call, no refund of gas, no byte left over.
"""

from dataclasses import dataclass

from chains.evm.address import address_from_bytes, keccak
from custody.core.intents import Intent, IntentKind
from custody.keys.refusal import require
from custody.policy.document import Places

EXECUTE = keccak(
    b"execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
)[:4]
TRANSFER = keccak(b"transfer(address,uint256)")[:4]
HEAD_WORDS = 10
SIGNATURE_BYTES = 65
SIGNATURES_MAX = 50


@dataclass(frozen=True, slots=True)
class _Inner:
    to: str
    value: int
    data: bytes


def check(intent: Intent, places: Places, token: str | None, data: bytes) -> None:
    """Refuse unless the Safe of the policy does exactly what the intent says.

    In this order: place, value, selector, form, operation, refund, signatures, inner call.
    """
    known = places.safe is not None and intent.to == places.safe
    require(known, "place", f"{intent.to} is not the Safe of the policy")
    require(intent.value == 0, "value", "a Safe's transaction is sent without any")
    inner = _inner(data)
    if intent.kind is IntentKind.SAFE_REJECT:
        _check_rejection(intent, places, inner)
    else:
        _check_payment(intent, places, token, inner)


def _inner(data: bytes) -> _Inner:
    require(data[:4] == EXECUTE, "selector", f"0x{data[:4].hex()} is not execTransaction")
    body = data[4:]
    require(len(body) >= 32 * HEAD_WORDS, "data", "has bytes missing")
    words = [body[32 * i : 32 * i + 32] for i in range(HEAD_WORDS)]
    call, after = _tail(body, words[2], 32 * HEAD_WORDS)
    signatures, end = _tail(body, words[9], after)
    require(end == len(body), "data", "has bytes left over")
    require(words[3] == bytes(32), "operation", "is not a plain call")
    require(b"".join(words[4:9]) == bytes(5 * 32), "refund", "gas fields and receiver must be 0")
    _check_signatures(signatures)
    return _Inner(_address(words[0]), int.from_bytes(words[1]), call)


def _tail(body: bytes, offset: bytes, expected: int) -> tuple[bytes, int]:
    """A `bytes` argument that lies where it must, and where the next one begins."""
    require(int.from_bytes(offset) == expected, "data", "an argument is not where it is")
    head = body[expected : expected + 32]
    require(len(head) == 32, "data", "has bytes missing")
    length = int.from_bytes(head)
    end = expected + 32 + length + (-length % 32)
    require(end <= len(body), "data", "has bytes missing")
    value = body[expected + 32 : expected + 32 + length]
    require(not any(body[expected + 32 + length : end]), "data", "is not padded with zeros")
    return value, end


def _check_signatures(signatures: bytes) -> None:
    """Plain EIP-712 signatures only: other forms make the Safe call contracts, or trust its sender.

    Whose they are is for the chain to say.
    """
    count, rest = divmod(len(signatures), SIGNATURE_BYTES)
    good = rest == 0 and 1 <= count <= SIGNATURES_MAX
    require(good, "signatures", "are not whole signatures of 65 bytes")
    last_bytes = {signatures[SIGNATURE_BYTES * i + 64] for i in range(count)}
    require(last_bytes <= {27, 28}, "signatures", "one is not an EIP-712 signature")


def _check_payment(intent: Intent, places: Places, token: str | None, inner: _Inner) -> None:
    require(intent.amount > 0, "amount", "must be above zero")
    if token is None:
        require(inner.data == b"", "inner_call", "a native transfer carries no data")
        require(inner.to == intent.beneficiary, "beneficiary", "is not where the coin goes")
        require(inner.value == intent.amount, "amount", "is not the value in the call")
    else:
        require(inner.to == token, "inner_call", "does not call the token")
        require(inner.value == 0, "value", "a token transfer carries none")
        good = inner.data[:4] == TRANSFER and len(inner.data) == 68
        require(good, "inner_call", "is not exactly one transfer")
        goes_to = _address(inner.data[4:36])
        require(goes_to == intent.beneficiary, "beneficiary", "is not where the token goes")
        same = int.from_bytes(inner.data[36:]) == intent.amount
        require(same, "amount", "is not the amount in the call")
    wallets = {places.treasury, places.payout, places.gas, places.allocator, places.anchorer}
    contracts = {places.sweeper, places.anchor, places.payouts, places.safe, places.hub}
    contracts |= {token}
    outside = intent.beneficiary not in wallets | contracts | set(places.guards)
    good = outside and int(intent.beneficiary, 16) != 0
    require(good, "place", f"{intent.kind.value} may not go to {intent.beneficiary}")


def _check_rejection(intent: Intent, places: Places, inner: _Inner) -> None:
    nothing = inner == _Inner(str(places.safe), 0, b"")
    require(nothing, "inner_call", "is not a call of nothing by the Safe to itself")
    require(intent.amount == 0, "amount", "a rejection moves nothing")
    require(intent.beneficiary == places.safe, "beneficiary", "is not the Safe")


def _address(word: bytes) -> str:
    require(word[:12] == bytes(12), "data", "an address is not padded with zeros")
    return address_from_bytes(word[12:])
