"""Safes on a devnet chain whose owners are the node's unlocked accounts."""

from enum import IntEnum
from typing import Any

from eth_abi.abi import encode
from eth_abi.packed import encode_packed
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chains.devnet.canonical import SafeContracts
from chains.devnet.rpc import (
    ZERO,
    call,
    call_uint,
    encode_call,
    rpc,
    send,
)
from chains.devnet.world import World

OWNER_THRESHOLD = 2

SETUP = "setup(address[],uint256,address,bytes,address,address,uint256,address)"
CREATE = "createProxyWithNonce(address,bytes,uint256)"
EXECUTE = (
    "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
)
SAFE_TX = {
    **{"to": "address", "value": "uint256", "data": "bytes", "operation": "uint8"},
    **{"safeTxGas": "uint256", "baseGas": "uint256", "gasPrice": "uint256"},
    **{"gasToken": "address", "refundReceiver": "address", "nonce": "uint256"},
}


class Operation(IntEnum):
    CALL = 0
    DELEGATE_CALL = 1


def create_safe(
    rpc_url: str, safe: SafeContracts, sender: str, owners: list[str], threshold: int, salt: int = 0
) -> str:
    """A new Safe with the compatibility handler; owners, threshold and salt fix its address."""
    setup = _setup(safe, owners, threshold)
    send(rpc_url, sender, safe.proxy_factory, CREATE, safe.singleton, setup, salt)
    return safe_address(rpc_url, safe, owners, threshold, salt)


def safe_address(
    rpc_url: str, safe: SafeContracts, owners: list[str], threshold: int, salt: int = 0
) -> str:
    """Where `create_safe` puts it (EIP-1014)."""
    (code,) = call(rpc_url, safe.proxy_factory, "proxyCreationCode()", returns="(bytes)")
    creation = code + encode(["address"], [safe.singleton])
    seed = keccak(keccak(_setup(safe, owners, threshold)) + encode(["uint256"], [salt]))
    factory = bytes.fromhex(safe.proxy_factory[2:])
    return to_checksum_address(keccak(b"\xff" + factory + seed + keccak(creation))[12:])


def _setup(safe: SafeContracts, owners: list[str], threshold: int) -> bytes:
    handler = (safe.fallback_handler, ZERO, 0, ZERO)
    return bytes.fromhex(encode_call(SETUP, owners, threshold, ZERO, b"", *handler)[2:])


def owner_safe(rpc_url: str, world: World) -> str:
    """The Safe that owns an installation here, made if it is missing: two in three of the node's
    accounts, in place of the people who would own a real one. The same on each chain."""
    people = world.accounts
    owners = [people.deployer, people.borrower, people.market_admin]
    address = safe_address(rpc_url, world.safe, owners, OWNER_THRESHOLD)
    if rpc(rpc_url, "eth_getCode", address, "latest") == "0x":
        create_safe(rpc_url, world.safe, people.deployer, owners, OWNER_THRESHOLD)
    return address


def execute(
    rpc_url: str,
    safe: str,
    signers: list[str],
    to: str,
    data: str,
    *,
    value: int = 0,
    operation: Operation = Operation.CALL,
) -> dict[str, Any]:
    """Let `signers`, unlocked owners, sign a Safe transaction; the first one sends it.

    Raises DevnetError if the Safe refuses or the inner call fails. Returns the receipt.
    """
    nonce = call_uint(rpc_url, safe, "nonce()")
    body = bytes.fromhex(data.removeprefix("0x"))
    free = (0, 0, 0, ZERO, ZERO)  # no refund of gas
    message = dict(zip(SAFE_TX, (to, value, body, int(operation), *free, nonce), strict=True))
    # The Safe wants signatures in the order of their owners' addresses.
    ordered = sorted(signers, key=str.lower)
    signatures = b"".join(_sign(rpc_url, safe, signer, message) for signer in ordered)
    terms = (to, value, body, int(operation), *free, signatures)
    return send(rpc_url, signers[0], safe, EXECUTE, *terms)


def signature_of(
    rpc_url: str, safe: str, signer: str, to: str, data: str, nonce: int, *, value: int = 0
) -> bytes:
    """An unlocked owner's EIP-712 signature of a plain call at one of the Safe's nonces.

    The node computes the hash by itself, from the typed data.
    """
    body = bytes.fromhex(data.removeprefix("0x"))
    terms = (to, value, body, int(Operation.CALL), 0, 0, 0, ZERO, ZERO, nonce)
    return _sign(rpc_url, safe, signer, dict(zip(SAFE_TX, terms, strict=True)))


def multi_send_data(calls: list[tuple[str, int, str]]) -> str:
    """Calldata of `multiSend` for (to, value in wei, data) calls, all or none."""
    packed = b"".join(
        encode_packed(
            ["uint8", "address", "uint256", "uint256", "bytes"],
            [int(Operation.CALL), to, value, len(body), body],
        )
        for to, value, body in (
            (to, value, bytes.fromhex(data.removeprefix("0x"))) for to, value, data in calls
        )
    )
    return encode_call("multiSend(bytes)", packed)


def _sign(rpc_url: str, safe: str, signer: str, message: dict[str, Any]) -> bytes:
    chain_id = int(rpc(rpc_url, "eth_chainId"), 16)
    fields = [{"name": name, "type": kind} for name, kind in SAFE_TX.items()]
    domain = [
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ]
    typed = {
        "types": {"EIP712Domain": domain, "SafeTx": fields},
        "primaryType": "SafeTx",
        "domain": {"chainId": chain_id, "verifyingContract": safe},
        "message": {
            name: "0x" + v.hex() if isinstance(v, bytes) else str(v) if isinstance(v, int) else v
            for name, v in message.items()
        },
    }
    signature = rpc(rpc_url, "eth_signTypedData_v4", signer, typed)
    return bytes.fromhex(signature[2:])
