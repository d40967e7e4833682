"""Internal moves of value from traces: which count, and which traces are not believed."""

from typing import Any

import pytest

from chains.evm.address import checksum
from chains.evm.traces import InternalMove, internal_moves

pytestmark = pytest.mark.unit

BLOCK, TX, OTHER_TX = "0x" + "b1" * 32, "0x" + "a1" * 32, "0x" + "a2" * 32
ONE, TWO = "0x" + "11" * 20, "0x" + "22" * 20


def call(path: list[int], value: int = 5, kind: str = "call", **more: Any) -> dict[str, Any]:
    action = {"callType": kind, "from": ONE, "to": TWO, "value": hex(value), "input": "0x"}
    return {
        "type": "call",
        "action": action,
        "result": {"gasUsed": "0x0", "output": "0x"},
        "traceAddress": path,
        "transactionHash": TX,
        "blockHash": BLOCK,
        **more,
    }


def create(path: list[int]) -> dict[str, Any]:
    action = {"from": ONE, "value": "0x5", "init": "0x"}
    return call(path) | {"type": "create", "action": action, "result": {"address": TWO}}


def destroyed(path: list[int], kind: str) -> dict[str, Any]:
    action = {"address": ONE, "refundAddress": TWO, "balance": "0x5"}
    return call(path) | {"type": kind, "action": action, "result": None}


FAILED: dict[str, Any] = {"error": "Reverted", "result": None}
REWARD = {"type": "reward", "action": {"author": TWO, "value": "0x9"}, "blockHash": BLOCK}
TOP = call([], 99)
CASES: list[tuple[str, list[dict[str, Any]], list[str]]] = [
    ("the transaction's own value is counted elsewhere", [TOP], []),
    ("a call", [TOP, call([0])], ["0"]),
    ("calls at several depths", [TOP, call([0]), call([0, 3]), call([1])], ["0", "0.3", "1"]),
    ("no value", [TOP, call([0], 0)], []),
    ("delegated", [TOP, call([0], 5, "delegatecall")], []),
    ("static", [TOP, call([0], 5, "staticcall")], []),
    ("code of another", [TOP, call([0], 5, "callcode")], []),
    ("failed", [TOP, call([0], **FAILED)], []),
    ("below one that failed", [TOP, call([0], **FAILED), call([0, 1]), call([1])], ["1"]),
    ("in a failed transaction", [call([], **FAILED), call([0]), call([0, 0])], []),
    ("beside one that failed", [TOP, call([1], **FAILED), call([10])], ["10"]),
    ("created with value", [TOP, create([0])], ["0"]),
    ("destroyed", [TOP, destroyed([0], "suicide")], ["0"]),
    ("destroyed, in newer words", [TOP, destroyed([0], "selfdestruct")], ["0"]),
    ("the block's reward", [TOP, REWARD], []),
]


@pytest.mark.parametrize("watched", [None, {TWO}], ids=["all", "watched"])
@pytest.mark.parametrize(("case", "traces", "paths"), CASES, ids=[c[0] for c in CASES])
def test_what_counts(
    case: str, traces: list[dict[str, Any]], paths: list[str], watched: set[str] | None
) -> None:
    found = internal_moves(traces, BLOCK, frozenset({TX}), watched)
    assert [".".join(map(str, m.path)) for m in found] == paths
    assert all(m == InternalMove(TX, m.path, checksum(ONE), checksum(TWO), 5) for m in found)


def test_what_goes_to_others_is_left_out_but_looked_at() -> None:
    traces = [TOP, call([0]), call([1], blockHash="0x" + "b2" * 32)]
    assert internal_moves(traces[:2], BLOCK, frozenset({TX}), {ONE}) == []
    with pytest.raises(ValueError, match="another block"):
        internal_moves(traces, BLOCK, frozenset({TX}), {ONE})


WRONG: list[tuple[str, Any]] = [
    ("nothing", None),
    ("a transaction is missing", []),
    ("another block's", [TOP | {"blockHash": "0x" + "b2" * 32}]),
    ("another transaction's", [TOP, call([], transactionHash=OTHER_TX)]),
    ("no place", [TOP, call([0]) | {"traceAddress": None}]),
    ("a place that is no number", [TOP, call([0]) | {"traceAddress": [True]}]),
    ("no action", [TOP, call([0]) | {"action": None}]),
    ("no value in it", [TOP, call([0]) | {"action": {"callType": "call", "from": ONE, "to": TWO}}]),
    ("no addresses", [TOP, call([0]) | {"action": {"callType": "call", "value": "0x5"}}]),
]


@pytest.mark.parametrize(("case", "traces"), WRONG, ids=[c[0] for c in WRONG])
def test_what_is_not_believed(case: str, traces: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        internal_moves(traces, BLOCK, frozenset({TX}))
