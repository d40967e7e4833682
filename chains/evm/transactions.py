"""Transactions of type 2 (EIP-1559) and type 4 (EIP-7702): bytes, hashes, and reading them back.

Nothing here signs. The signer takes `signing_hash`, and `assemble` joins its answer to the bytes.
Only the shapes that we send exist: a destination always, no access list, chain id never 0, low s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from coincurve import PublicKey

from chains.evm import rlp
from chains.evm.address import (
    address_bytes,
    address_from_bytes,
    address_from_public_key,
    checksum,
    keccak,
)

TYPE_FEE_MARKET = 2
TYPE_SET_CODE = 4
AUTHORIZATION_MAGIC = 0x05
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_U64 = 2**64
_U256 = 2**256


@dataclass(frozen=True, slots=True)
class Authorization:
    """A signed EIP-7702 tuple: its authority points its account at `delegate`."""

    chain_id: int
    delegate: str
    nonce: int
    y_parity: int
    r: int
    s: int

    def __post_init__(self) -> None:
        _check_int("chain_id", self.chain_id, 1, _U64)
        _check_int("nonce", self.nonce, 0, _U64 - 1)
        _check_signature(self.y_parity, self.r, self.s)
        checksum(self.delegate)

    def authority(self) -> str:
        """The account that signed. Raises ValueError if no key matches."""
        digest = authorization_hash(self.chain_id, self.delegate, self.nonce)
        return recover(digest, self.y_parity, self.r, self.s)

    def _item(self) -> list[rlp.Item]:
        number = rlp.encode_int
        return [
            number(self.chain_id),
            address_bytes(self.delegate),
            number(self.nonce),
            number(self.y_parity),
            number(self.r),
            number(self.s),
        ]


@dataclass(frozen=True, slots=True)
class SignedRaw:
    """The bytes to broadcast and their hash, both 0x hex."""

    raw: str
    hash: str


@dataclass(frozen=True, slots=True)
class UnsignedTransaction:
    """What is to be signed. Fees are wei per gas, `value` is wei; type 4 iff authorizations."""

    chain_id: int
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas_limit: int
    to: str
    value: int
    data: bytes
    authorizations: tuple[Authorization, ...] = ()
    _body: bytes = field(init=False, repr=False, compare=False)
    """The fields before the signature, encoded once: hashed to be signed, then sent."""

    def __post_init__(self) -> None:
        _check_int("chain_id", self.chain_id, 1, _U64)
        _check_int("nonce", self.nonce, 0, _U64 - 1)
        _check_int("max_priority_fee_per_gas", self.max_priority_fee_per_gas, 0, _U256)
        _check_int("max_fee_per_gas", self.max_fee_per_gas, self.max_priority_fee_per_gas, _U256)
        _check_int("gas_limit", self.gas_limit, 1, _U64)
        _check_int("value", self.value, 0, _U256)
        if type(self.data) is not bytes:
            raise ValueError("data: must be bytes")
        checksum(self.to)
        object.__setattr__(self, "_body", rlp.join(self._items()))

    @property
    def type(self) -> int:
        return TYPE_SET_CODE if self.authorizations else TYPE_FEE_MARKET

    @property
    def fee_max(self) -> int:
        """The most that gas can cost, in wei."""
        return self.gas_limit * self.max_fee_per_gas

    def signing_hash(self) -> bytes:
        """The 32 bytes that the sender's key signs."""
        return keccak(bytes([self.type]) + rlp.wrap(self._body))

    def assemble(self, y_parity: int, r: int, s: int) -> SignedRaw:
        """Join a signature to the transaction. Raises ValueError on high s or out of range."""
        _check_signature(y_parity, r, s)
        number = rlp.encode_int
        signature = rlp.join([number(y_parity), number(r), number(s)])
        raw = bytes([self.type]) + rlp.wrap(self._body + signature)
        return SignedRaw("0x" + raw.hex(), "0x" + keccak(raw).hex())

    def with_fees(
        self, max_fee_per_gas: int, max_priority_fee_per_gas: int
    ) -> "UnsignedTransaction":
        """The replacement: same nonce and effect, other fees."""
        return replace(
            self,
            max_fee_per_gas=max_fee_per_gas,
            max_priority_fee_per_gas=max_priority_fee_per_gas,
        )

    def _items(self) -> list[rlp.Item]:
        number = rlp.encode_int
        items: list[rlp.Item] = [
            number(self.chain_id),
            number(self.nonce),
            number(self.max_priority_fee_per_gas),
            number(self.max_fee_per_gas),
            number(self.gas_limit),
            address_bytes(self.to),
            number(self.value),
            self.data,
            [],  # access list
        ]
        if self.authorizations:
            items.append([a._item() for a in self.authorizations])
        return items


@dataclass(frozen=True, slots=True)
class DecodedRaw:
    """A signed transaction read back from its bytes."""

    transaction: UnsignedTransaction
    sender: str
    hash: str


def authorization_hash(chain_id: int, delegate: str, nonce: int) -> bytes:
    """The 32 bytes that an authority signs (EIP-7702). `nonce` is the authority's own."""
    _check_int("chain_id", chain_id, 1, _U64)
    _check_int("nonce", nonce, 0, _U64 - 1)
    body: list[rlp.Item] = [
        rlp.encode_int(chain_id),
        address_bytes(delegate),
        rlp.encode_int(nonce),
    ]
    return keccak(bytes([AUTHORIZATION_MAGIC]) + rlp.encode(body))


def decode_raw(raw: str | bytes) -> DecodedRaw:
    """Read signed bytes of one of our shapes, strictly. Raises ValueError on any other."""
    data = raw_bytes(raw)
    if data[:1] not in (b"\x02", b"\x04"):
        raise ValueError("not a transaction of type 2 or 4")
    set_code = data[0] == TYPE_SET_CODE
    items = rlp.as_list(rlp.decode(data[1:]), 13 if set_code else 12)
    transaction = _transaction(items, set_code)
    y_parity, r, s = (rlp.as_int(item) for item in items[-3:])
    _check_signature(y_parity, r, s)
    sender = recover(transaction.signing_hash(), y_parity, r, s)
    return DecodedRaw(transaction, sender, "0x" + keccak(data).hex())


def raw_bytes(raw: str | bytes) -> bytes:
    """Bytes of 0x hex. Raises ValueError."""
    if isinstance(raw, bytes):
        return raw
    if not raw.startswith("0x"):
        raise ValueError("raw bytes are written as 0x hex")
    return bytes.fromhex(raw[2:])


def raw_hash(raw: str | bytes) -> str:
    """The transaction hash of signed bytes."""
    return "0x" + keccak(raw_bytes(raw)).hex()


def recover(digest: bytes, y_parity: int, r: int, s: int) -> str:
    """The address whose key made this signature. Raises ValueError."""
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([y_parity])
    try:
        point = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception for an unrecoverable signature
        raise ValueError("no key matches this signature") from error
    return address_from_public_key(point.format(compressed=False))


def _transaction(items: Sequence[rlp.Item], set_code: bool) -> UnsignedTransaction:
    if rlp.as_list(items[8]):
        raise ValueError("access list: we never send one")
    authorizations: tuple[Authorization, ...] = ()
    if set_code:
        authorizations = tuple(_authorization(item) for item in rlp.as_list(items[9]))
        if not authorizations:
            raise ValueError("a type 4 transaction carries an authorization")
    return UnsignedTransaction(
        chain_id=rlp.as_int(items[0]),
        nonce=rlp.as_int(items[1]),
        max_priority_fee_per_gas=rlp.as_int(items[2]),
        max_fee_per_gas=rlp.as_int(items[3]),
        gas_limit=rlp.as_int(items[4]),
        to=address_from_bytes(rlp.as_bytes(items[5], 20)),
        value=rlp.as_int(items[6]),
        data=rlp.as_bytes(items[7]),
        authorizations=authorizations,
    )


def _authorization(item: rlp.Item) -> Authorization:
    chain_id, delegate, nonce, y_parity, r, s = rlp.as_list(item, 6)
    return Authorization(
        chain_id=rlp.as_int(chain_id),
        delegate=address_from_bytes(rlp.as_bytes(delegate, 20)),
        nonce=rlp.as_int(nonce),
        y_parity=rlp.as_int(y_parity),
        r=rlp.as_int(r),
        s=rlp.as_int(s),
    )


def _check_int(field: str, value: object, low: int, end: int) -> None:
    """Requires low <= value < end; bool is no number here."""
    if type(value) is not int or not low <= value < end:
        raise ValueError(f"{field}: must be an integer from {low} to below {end}")


def _check_signature(y_parity: int, r: int, s: int) -> None:
    """Low s only (EIP-2): the other half would be a second valid hash for one transaction."""
    _check_int("y_parity", y_parity, 0, 2)
    _check_int("r", r, 1, CURVE_ORDER)
    _check_int("s", s, 1, CURVE_ORDER // 2 + 1)
