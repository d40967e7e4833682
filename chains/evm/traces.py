"""Ether that contracts send inside a transaction, from `trace_block` (OpenEthereum's form).

A call that failed took back whatever was sent below it, though each of those calls succeeded.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from chains.evm import parse
from chains.evm.address import checksum, hash_hex

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InternalMove:
    """Wei moved by a call inside a transaction; `path` is the call's place in the tree of calls."""

    tx_hash: str
    path: Path
    sender: str
    recipient: str
    amount: int


def internal_moves(
    raw: Any,
    block_hash: str,
    tx_hashes: frozenset[str],
    watched: AbstractSet[str] | None = None,
) -> list[InternalMove]:
    """All moves of value but those that transactions themselves carry, in the node's order.

    `watched` (lower case) leaves only those to these addresses, and reads the others only as far
    as that takes. Raises ValueError unless every transaction of the block is traced, and nothing
    of another block.
    """
    if not isinstance(raw, list):
        raise ValueError("traces: not a list")
    found: list[InternalMove] = []
    failed: set[tuple[str, Path]] = set()
    traced: set[Any] = set()
    for trace in raw:
        if not isinstance(trace, dict):
            raise ValueError("trace: not an object")
        if trace.get("type") == "reward":
            continue
        block = trace.get("blockHash")
        if block != block_hash and hash_hex(block) != block_hash:
            raise ValueError("trace of another block")
        traced.add(trace.get("transactionHash"))
        if trace.get("error"):
            failed.add((hash_hex(trace.get("transactionHash")), _path(trace)))
            continue
        sent = _sent(trace)
        if sent is None or (watched is not None and _lower(sent[1]) not in watched):
            continue
        move = _move(trace, *sent)
        if move.amount:
            found.append(move)
    if traced != tx_hashes and {hash_hex(h) for h in traced} != tx_hashes:
        raise ValueError("not every transaction of the block is traced")
    return [m for m in found if not _is_undone(m, failed)]


def _is_undone(move: InternalMove, failed: set[tuple[str, Path]]) -> bool:
    return any((move.tx_hash, move.path[:depth]) in failed for depth in range(len(move.path)))


def _path(trace: Mapping[str, Any]) -> Path:
    path = trace.get("traceAddress")
    if not isinstance(path, list) or not all(type(n) is int and n >= 0 for n in path):
        raise ValueError("trace without its place")
    return tuple(path)


def _lower(address: object) -> str:
    if not isinstance(address, str):
        raise ValueError(f"trace to no address: {address!r}")
    return address.lower()


def _sent(trace: Mapping[str, Any]) -> tuple[Any, Any, Any] | None:
    """Sender, recipient and value as they are written; None for what moves no value to another
    account, or is the transaction itself."""
    action = parse.mapping(trace.get("action"), "action")
    match trace.get("type"):
        case "call":
            if trace.get("traceAddress") == [] or action.get("callType") != "call":
                return None
            return action.get("from"), action.get("to"), action.get("value")
        case "create":
            result = parse.mapping(trace.get("result"), "result")
            return action.get("from"), result.get("address"), action.get("value")
        case "suicide" | "selfdestruct":
            return action.get("address"), action.get("refundAddress"), action.get("balance")
    return None


def _move(trace: Mapping[str, Any], sender: object, to: object, amount: object) -> InternalMove:
    wei = parse.quantity(amount, "value")
    tx_hash, path = hash_hex(trace.get("transactionHash")), _path(trace)
    return InternalMove(tx_hash, path, checksum(str(sender)), checksum(str(to)), wei)
