"""A Safe (1.3 and later): k of n owners sign one call at one nonce, and anybody may execute it.

The hash that owners sign is computed here (EIP-712), not asked for: what a node or a web page shows
is not what they would sign. Every read names its block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chains.evm.address import ZERO_ADDRESS, address_bytes, checksum, keccak
from chains.evm.calldata import decode_answer, encode_call, topic, word
from chains.evm.client import At, EvmClient
from chains.evm.transactions import recover as recover_address
from chains.types import Log

EXECUTE = (
    "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
)
_DOMAIN = keccak(b"EIP712Domain(uint256 chainId,address verifyingContract)")
_SAFE_TX = keccak(
    b"SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,"
    b"uint256 baseGas,uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
)
_SUCCESS = topic("ExecutionSuccess(bytes32,uint256)")
_FAILURE = topic("ExecutionFailure(bytes32,uint256)")
EXECUTIONS: Final = (_SUCCESS, _FAILURE)
"""Topics of the two events of which every use of a nonce leaves exactly one."""
SIGNATURE_BYTES: Final = 65
_CALL = 0


class Outcome(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"  # the inner call failed: the nonce is used, nothing moved


@dataclass(frozen=True, slots=True)
class SafeCall:
    """A plain call by the Safe: no delegate call, no refund of gas. `value` is wei."""

    to: str
    value: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Execution:
    """That a Safe transaction was executed, in which transaction and block."""

    safe_tx_hash: str
    outcome: Outcome
    tx_hash: str
    block_number: int


@dataclass(frozen=True, slots=True)
class SafeState:
    """What decides whether signatures are enough."""

    nonce: int
    owners: tuple[str, ...]
    threshold: int


def rejection(safe: str) -> SafeCall:
    """The call that uses a nonce up for nothing."""
    return SafeCall(safe, 0, b"")


def domain_separator(chain_id: int, safe: str) -> bytes:
    return keccak(_DOMAIN + word(chain_id) + bytes(12) + address_bytes(safe))


def transaction_hash(chain_id: int, safe: str, call: SafeCall, nonce: int) -> str:
    """What owners sign, 0x hex: as the contract's own `getTransactionHash`."""
    struct = keccak(
        _SAFE_TX
        + (bytes(12) + address_bytes(call.to))
        + word(call.value)
        + keccak(call.data)
        + word(_CALL)
        + bytes(5 * 32)  # safeTxGas, baseGas, gasPrice, gasToken, refundReceiver
        + word(nonce)
    )
    return "0x" + keccak(b"\x19\x01" + domain_separator(chain_id, safe) + struct).hex()


def recover(safe_tx_hash: str, signature: bytes) -> str:
    """The owner that made an EIP-712 signature (r, s, v of 27 or 28).

    Raises ValueError on any other form: contract signatures and approved hashes say nothing here.
    """
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        raise ValueError("not 65 bytes that end with a v of 27 or 28")
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    return recover_address(bytes.fromhex(safe_tx_hash[2:]), signature[64] - 27, r, s)


def pack_signatures(by_owner: Mapping[str, bytes]) -> bytes:
    """The contract wants them in the order of their owners' addresses."""
    return b"".join(by_owner[owner] for owner in sorted(by_owner, key=str.lower))


def encode_execute(call: SafeCall, signatures: bytes) -> bytes:
    """Calldata of the execution; whoever sends it pays the gas."""
    terms = (call.to, call.value, call.data, _CALL, 0, 0, 0, ZERO_ADDRESS, ZERO_ADDRESS)
    return encode_call(EXECUTE, *terms, signatures)


def executions(logs: Sequence[Log], safe: str) -> list[Execution]:
    """Every use of a nonce of this Safe among these events."""
    return [
        Execution(
            log.topics[1],
            Outcome.SUCCESS if log.topics[0] == _SUCCESS else Outcome.FAILURE,
            log.tx_hash,
            log.block_number,
        )
        for log in logs
        if log.address == safe and len(log.topics) == 2 and log.topics[0] in EXECUTIONS
    ]


@dataclass(frozen=True, slots=True)
class Safe:
    """The contract."""

    client: EvmClient
    address: str

    async def nonce(self, block: At) -> int:
        """How many of its transactions were executed."""
        answer = await self.client.call(self.address, encode_call("nonce()"), block)
        return int(decode_answer(("uint256",), answer)[0])

    async def state(self, block: At) -> SafeState:
        """Nonce, owners and threshold at one block."""
        asked = [encode_call(f"{name}()") for name in ("nonce", "getOwners", "getThreshold")]
        nonce, owners, threshold = await self.client.calls(
            [(self.address, data) for data in asked], block
        )
        return SafeState(
            int(decode_answer(("uint256",), nonce)[0]),
            tuple(checksum(o) for o in decode_answer(("address[]",), owners)[0]),
            int(decode_answer(("uint256",), threshold)[0]),
        )

    async def transaction_hash(self, call: SafeCall, nonce: int, block: At) -> str:
        """The contract's own answer, to compare ours with."""
        signature = EXECUTE.replace("execTransaction", "getTransactionHash")
        signature = signature.replace("bytes)", "uint256)")
        terms = (call.to, call.value, call.data, _CALL, 0, 0, 0, ZERO_ADDRESS, ZERO_ADDRESS)
        data = encode_call(signature, *terms, nonce)
        return "0x" + (await self.client.call(self.address, data, block)).hex()

    async def executions(self, first: int, last: int) -> list[Execution]:
        """Uses of its nonces in blocks `first` to `last`, both included."""
        found = await self.client.logs(first, last, [self.address], [EXECUTIONS])
        return executions(found, self.address)
