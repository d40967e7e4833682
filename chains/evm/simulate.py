"""What a transaction would do if it were mined now: transfers, approvals, balance changes.

By eth_simulateV1 where the node has it, all at one block and in one round trip. Elsewhere by
eth_call, which tells only whether it reverts and what it returns: the `form` says which.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from chains.errors import CallReverted, ChainError
from chains.evm.address import checksum
from chains.evm.calldata import encode_call
from chains.evm.client import EvmClient
from chains.evm.parse import NATIVE_LOGS, SimulatedCall
from chains.types import BlockRef, Log

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
APPROVAL = "0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925"
NATIVE = "native"
MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
"""The same on nearly every chain; it tells an account's ether within a simulation."""


class Form(StrEnum):
    TRACE = "trace"  # with logs and balances
    CALL = "call"  # reduced: the outcome alone


@dataclass(frozen=True, slots=True)
class Moved:
    """A transfer, or an approval (`recipient` is the spender). `token` is an address or NATIVE."""

    token: str
    sender: str
    recipient: str
    amount: int

    def to_json(self) -> dict[str, str]:
        return {**asdict(self), "amount": str(self.amount)}


@dataclass(frozen=True, slots=True)
class Effects:
    """`received` is how each payee's balance of the asset changes, base units; None: not known.

    `returned_false` is a token's word that it did nothing. `logs` are the call's own.
    """

    form: Form
    succeeds: bool
    returned_false: bool
    transfers: tuple[Moved, ...]
    approvals: tuple[Moved, ...]
    received: tuple[int, ...] | None
    logs: tuple[Log, ...] = field(default=(), compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "form": self.form.value,
            "succeeds": self.succeeds,
            "returned_false": self.returned_false,
            "transfers": [t.to_json() for t in self.transfers],
            "approvals": [a.to_json() for a in self.approvals],
            "received": None if self.received is None else [str(x) for x in self.received],
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """The call, and whose balances of what to watch: `token` None is the native coin.

    `prior` is called before it, unsigned and in its own right: what will be done before the call
    is sent, and counts for none of the effects.
    """

    sender: str
    to: str
    value: int
    data: str
    gas: int
    token: str | None
    payees: tuple[str, ...]
    prior: tuple[Mapping[str, str], ...] = ()


async def effects_of(client: EvmClient, asked: Asked, block: BlockRef) -> Effects:
    """Raises ChainError only where not even eth_call gets an answer."""
    try:
        return await _traced(client, asked, block)
    except ChainError:
        return await _called(client, asked, block)


async def _traced(client: EvmClient, asked: Asked, block: BlockRef) -> Effects:
    call = {
        "from": asked.sender,
        "to": asked.to,
        "value": hex(asked.value),
        "data": asked.data,
        "gas": hex(asked.gas),
    }
    looks = [_look(asked.token, payee) for payee in asked.payees]
    calls = [*asked.prior, *looks, call, *looks]
    seen = (await client.simulated(calls, block))[len(asked.prior) :]
    before, made, after = seen[: len(looks)], seen[len(looks)], seen[len(looks) + 1 :]
    if not all(x.succeeds and len(x.returned) == 32 for x in (*before, *after)):
        return _read(asked, made, None)
    pairs = zip(before, after, strict=True)
    return _read(asked, made, tuple(_uint(b.returned) - _uint(a.returned) for a, b in pairs))


def _look(token: str | None, payee: str) -> dict[str, str]:
    """A balance, as a call of its own within the simulation."""
    if token is None:
        data = encode_call("getEthBalance(address)", payee)
        return {"to": MULTICALL3, "data": "0x" + data.hex()}
    return {"to": token, "data": "0x" + encode_call("balanceOf(address)", payee).hex()}


def _read(asked: Asked, made: SimulatedCall, received: tuple[int, ...] | None) -> Effects:
    transfers = tuple(_moved(x) for x in made.logs if _is(x, TRANSFER))
    if asked.token is None and received is None:
        # Nobody to ask. Some nodes show transfers of inner calls that reverted, too.
        received = tuple(_net(transfers, payee) for payee in asked.payees)
    return Effects(
        Form.TRACE,
        made.succeeds,
        asked.token is not None and _is_false(made.returned),
        transfers,
        tuple(_moved(x) for x in made.logs if _is(x, APPROVAL)),
        received,
        made.logs,
    )


async def _called(client: EvmClient, asked: Asked, block: BlockRef) -> Effects:
    data = bytes.fromhex(asked.data[2:])
    try:
        returned = await client.call(asked.to, data, block, asked.sender, asked.value)
    except CallReverted:
        return Effects(Form.CALL, False, False, (), (), None)
    false = asked.token is not None and _is_false(returned)
    return Effects(Form.CALL, True, false, (), (), None)


def _net(transfers: Sequence[Moved], payee: str) -> int:
    into = sum(t.amount for t in transfers if (t.token, t.recipient) == (NATIVE, payee))
    return into - sum(t.amount for t in transfers if (t.token, t.sender) == (NATIVE, payee))


def _is(log: Log, topic: str) -> bool:
    """An event of ERC-20's form: two indexed addresses and one word."""
    return len(log.topics) == 3 and log.topics[0] == topic and len(log.data) == 66


def _moved(log: Log) -> Moved:
    token = NATIVE if log.address.lower() == NATIVE_LOGS else checksum(log.address)
    sender, recipient = (checksum("0x" + t[-40:]) for t in log.topics[1:])
    return Moved(token, sender, recipient, int(log.data, 16))


def _is_false(returned: bytes) -> bool:
    return len(returned) >= 32 and _uint(returned) == 0


def _uint(returned: bytes) -> int:
    return int.from_bytes(returned[:32])
