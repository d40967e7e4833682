"""JSON of a node -> our types. Every field is checked; ValueError says which one is wrong."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chains.evm.address import checksum, hash_hex
from chains.types import BlockRef, Header, Log

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")


def quantity(value: object, field: str = "quantity") -> int:
    """An unsigned number in 0x hex."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ValueError(f"{field}: not a quantity: {value!r}")
    return int(value, 16)


def data_bytes(value: object, field: str = "data") -> bytes:
    """Bytes in 0x hex."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError(f"{field}: not 0x data")
    return bytes.fromhex(value[2:])


def mapping(value: object, field: str = "answer") -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{field}: not an object")
    return value


def header(value: object) -> Header:
    """A block answer. `baseFeePerGas` is absent before London: 0 then."""
    body = mapping(value, "block")
    return Header(
        block=BlockRef(
            number=quantity(body.get("number"), "number"),
            hash=hash_hex(body.get("hash")),
            timestamp=quantity(body.get("timestamp"), "timestamp"),
        ),
        parent_hash=hash_hex(body.get("parentHash")),
        base_fee=quantity(body.get("baseFeePerGas", "0x0"), "baseFeePerGas"),
    )


def log(value: object) -> Log:
    """A log of a mined block. One that a reorg removed is an error: it is no fact."""
    body = mapping(value, "log")
    if body.get("removed"):
        raise ValueError("log: removed by a reorg")
    topics = body.get("topics")
    if not isinstance(topics, list) or len(topics) > 4:
        raise ValueError("log: bad topics")
    data = body.get("data")
    data_bytes(data, "log data")
    return Log(
        address=checksum(str(body.get("address"))),
        topics=tuple(hash_hex(t) for t in topics),
        data=str(data).lower(),
        log_index=quantity(body.get("logIndex"), "logIndex"),
        tx_hash=hash_hex(body.get("transactionHash")),
        block_number=quantity(body.get("blockNumber"), "blockNumber"),
        block_hash=hash_hex(body.get("blockHash")),
    )


def logs(value: object) -> tuple[Log, ...]:
    if not isinstance(value, list):
        raise ValueError("logs: not a list")
    return tuple(log(item) for item in value)


NATIVE_LOGS = "0x" + "ee" * 20
"""Where eth_simulateV1 logs transfers of the native coin from."""


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """What one simulated call did. Its logs have no transaction, so they compare by content."""

    succeeds: bool
    returned: bytes
    logs: tuple[Log, ...]


def simulated_calls(value: object, count: int) -> list[SimulatedCall]:
    """An answer of eth_simulateV1 about one block with `count` calls."""
    if not isinstance(value, list) or len(value) != 1:
        raise ValueError("simulation: not one block")
    calls = mapping(value[0], "simulation").get("calls")
    if not isinstance(calls, list) or len(calls) != count:
        raise ValueError(f"simulation: not {count} calls")
    return [_simulated(mapping(c, "simulated call")) for c in calls]


def _simulated(call: Mapping[str, Any]) -> SimulatedCall:
    succeeds = quantity(call.get("status"), "status") == 1
    bare = tuple(replace(x, tx_hash="", block_hash="") for x in logs(call.get("logs", [])))
    return SimulatedCall(succeeds, data_bytes(call.get("returnData", "0x"), "returnData"), bare)
