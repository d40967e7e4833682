"""A node that ignores our filter, or whose answers do not fit together. Properties 22, 25."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chains.errors import RpcDisagreement, RpcUnavailable
from chains.evm.address import checksum
from chains.evm.calldata import address_topic
from chains.evm.client import EvmClient
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.evm.watcher import scan_block
from tests.chains.evm.fake_node import FakeNode

pytestmark = pytest.mark.chain

WALLET, TOKEN = checksum("0x" + "11" * 20), checksum("0x" + "22" * 20)
STRANGER = checksum("0x" + "33" * 20)
BLOCK, OTHER = "0x" + "aa" * 32, "0x" + "bb" * 32
TX = "0x" + "cc" * 32


def transaction(**changes: Any) -> dict[str, Any]:
    body = {"hash": TX, "blockHash": BLOCK, "from": STRANGER, "to": WALLET, "value": "0x9"}
    return {**body, **changes}


def log(**changes: Any) -> dict[str, Any]:
    return {
        "address": TOKEN,
        "topics": [TRANSFER_EVENT, address_topic(STRANGER), address_topic(WALLET)],
        "data": "0x" + "00" * 31 + "08",
        "logIndex": "0x3",
        "transactionHash": TX,
        "blockNumber": "0x5",
        "blockHash": BLOCK,
        "removed": False,
        **changes,
    }


def receipt(**changes: Any) -> dict[str, Any]:
    return {
        "transactionHash": TX,
        "blockHash": BLOCK,
        "blockNumber": "0x5",
        "status": "0x1",
        "gasUsed": "0x1",
        "effectiveGasPrice": "0x1",
        "logs": [],
        "from": STRANGER,
        "to": WALLET,
        **changes,
    }


@asynccontextmanager
async def chain(
    transactions: list[Any], logs: list[Any], receipt_: Any
) -> AsyncIterator[EvmClient]:
    """A client of a node that says these things about block 5."""
    block = {"number": "0x5", "hash": BLOCK, "timestamp": "0x1", "parentHash": OTHER}

    def answer(method: str, _params: list[Any]) -> Any:
        match method:
            case "eth_getBlockByNumber":
                return {**block, "transactions": transactions}
            case "eth_getLogs":
                return logs
            case "eth_getTransactionReceipt":
                return receipt_
        raise AssertionError(method)

    async with FakeNode(answer) as node:
        client = EvmClient(1, [node.url], timeout_s=1)
        yield client
        await client.close()


async def amounts(client: EvmClient) -> list[int]:
    return [t.amount for t in (await scan_block(client, 5, {WALLET}, {TOKEN})).transfers]


async def test_what_fits_together_is_seen() -> None:
    async with chain([transaction()], [log()], receipt()) as client:
        assert await amounts(client) == [9, 8]


@pytest.mark.parametrize(
    "changes",
    [
        {"address": STRANGER},
        {"blockHash": OTHER},
        {"topics": [TRANSFER_EVENT, address_topic(STRANGER), address_topic(STRANGER)]},
        {"topics": [OTHER, address_topic(STRANGER), address_topic(WALLET)]},
        {"topics": [TRANSFER_EVENT, address_topic(WALLET)]},
        {"topics": []},
        {"data": "0x"},
        {"data": "0x08"},
        {"data": "0x" + "00" * 63 + "08"},
        {"data": "0x" + "00" * 32},
    ],
)
async def test_the_filter_is_applied_again_here(changes: dict[str, Any]) -> None:
    """Property 22."""
    async with chain([], [log(**changes)], None) as client:
        assert await amounts(client) == []


@pytest.mark.parametrize(
    "answer", [None, receipt(blockHash=OTHER)], ids=["no receipt", "of another block"]
)
async def test_a_native_transfer_without_its_receipt_stops_the_scan(answer: Any) -> None:
    """Not "unseen": the block is read again, else a deposit would be lost for good."""
    async with chain([transaction()], [], answer) as client:
        with pytest.raises(RpcDisagreement, match="receipt"):
            await amounts(client)


async def test_status_zero_is_not_seen() -> None:
    """Property 21."""
    async with chain([transaction()], [], receipt(status="0x0")) as client:
        assert await amounts(client) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"to": "0x1"},
        {"value": None},
        {"value": "9"},
        {"hash": None},
        {"from": None},
        {"blockHash": OTHER},
    ],
)
async def test_a_malformed_transaction_stops_the_scan(bad: dict[str, Any]) -> None:
    async with chain([transaction(**bad)], [], receipt()) as client:
        with pytest.raises(RpcUnavailable, match="nonsense"):
            await amounts(client)


async def test_a_block_with_hashes_only_stops_the_scan() -> None:
    async with chain([TX], [], None) as client:
        with pytest.raises(RpcUnavailable, match="nonsense"):
            await amounts(client)
