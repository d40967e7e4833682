"""Ether that contracts send inside a transaction, from `trace_block` (OpenEthereum's form).

A call that failed took back whatever was sent below it, though each of those calls succeeded.
"""

from collections.abc import Mapping
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


def internal_moves(raw: Any, block_hash: str, tx_hashes: frozenset[str]) -> list[InternalMove]:
    """All moves of value but those that transactions themselves carry, in the node's order.

    Raises ValueError unless every transaction of the block is traced, and nothing of another block.
    """
    if not isinstance(raw, list):
        raise ValueError("traces: not a list")
    traces = [t for t in (parse.mapping(x, "trace") for x in raw) if t.get("type") != "reward"]
    found: list[InternalMove] = []
    failed: set[tuple[str, Path]] = set()
    traced: set[str] = set()
    for trace in traces:
        if hash_hex(trace.get("blockHash")) != block_hash:
            raise ValueError("trace of another block")
        tx_hash, path = hash_hex(trace.get("transactionHash")), _path(trace)
        traced.add(tx_hash)
        if trace.get("error"):
            failed.add((tx_hash, path))
            continue
        move = _move(trace, tx_hash, path)
        if move is not None and move.amount:
            found.append(move)
    if traced != tx_hashes:
        raise ValueError("not every transaction of the block is traced")
    return [m for m in found if not _is_undone(m, failed)]


def _is_undone(move: InternalMove, failed: set[tuple[str, Path]]) -> bool:
    return any((move.tx_hash, move.path[:depth]) in failed for depth in range(len(move.path)))


def _path(trace: Mapping[str, Any]) -> Path:
    path = trace.get("traceAddress")
    if not isinstance(path, list) or not all(type(n) is int and n >= 0 for n in path):
        raise ValueError("trace without its place")
    return tuple(path)


def _move(trace: Mapping[str, Any], tx_hash: str, path: Path) -> InternalMove | None:
    """None for what moves no value to another account, or is the transaction itself."""
    action = parse.mapping(trace.get("action"), "action")
    match trace.get("type"):
        case "call" if path and action.get("callType") == "call":
            sender, to, amount = action.get("from"), action.get("to"), action.get("value")
        case "create":
            result = parse.mapping(trace.get("result"), "result")
            sender, to, amount = action.get("from"), result.get("address"), action.get("value")
        case "suicide" | "selfdestruct":
            sender, to = action.get("address"), action.get("refundAddress")
            amount = action.get("balance")
        case _:
            return None
    wei = parse.quantity(amount, "value")
    return InternalMove(tx_hash, path, checksum(str(sender)), checksum(str(to)), wei)
