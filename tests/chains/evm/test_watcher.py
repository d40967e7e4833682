"""What the watcher sees on a real node, and what it must not. Properties 21, 22, 24 (in part)."""

import time
from typing import Any

import pytest

from chains.devnet.anvil import Anvil
from chains.devnet.scenario.chain import held
from chains.errors import RpcUnavailable
from chains.evm.address import checksum
from chains.evm.calldata import encode_call
from chains.evm.client import EvmClient
from chains.evm.contracts.erc20 import TRANSFER_EVENT, erc20_transfer
from chains.evm.watcher import scan_block, transfers_in
from chains.types import NATIVE_LOG_INDEX, TransferSeen

pytestmark = pytest.mark.chain

TOKEN = checksum("0x" + "a1" * 20)
OTHER_TOKEN = checksum("0x" + "b2" * 20)
WALLET = checksum("0x" + "c3" * 20)
ETHER = 10**18

_EVENT = "7f" + TRANSFER_EVENT[2:]  # PUSH32
_ARGUMENTS = "602435600052" + "600435" + "33" + _EVENT  # memory: amount; stack: to, caller, event
_RETURN_TRUE = "600160005260206000f3"
TRANSFER_CODE = "0x" + _ARGUMENTS + "60206000a3" + _RETURN_TRUE
REVERTING_CODE = "0x" + _ARGUMENTS + "60206000a3" + "60006000fd"
NFT_CODE = "0x" + "602435" + "600435" + "33" + _EVENT + "60006000a4" + _RETURN_TRUE
LYING_CODE = "0x" + "600060005260206000f3"  # returns false, status 1, no event


def put(anvil: Anvil, address: str, code: str) -> None:
    anvil.rpc("anvil_setCode", address, code)


def send(anvil: Anvil, sender: str, to: str | None, value: int = 0, data: bytes = b"") -> Any:
    """Mined transaction; its receipt. Gas is given, so that what fails is mined all the same."""
    message = {"from": sender, "value": hex(value), "data": "0x" + data.hex(), "gas": "0x186a0"}
    if to is not None:
        message["to"] = to
    tx_hash = anvil.rpc("eth_sendTransaction", message)
    while (receipt := anvil.rpc("eth_getTransactionReceipt", tx_hash)) is None:
        time.sleep(0.01)
    return receipt


async def seen(client: EvmClient, receipt: Any) -> list[TransferSeen]:
    block = int(receipt["blockNumber"], 16)
    return await transfers_in(client, block, {WALLET}, {TOKEN})


async def test_native_value_is_seen(anvil: Anvil, client: EvmClient, accounts: list[str]) -> None:
    receipt = send(anvil, accounts[0], WALLET, ETHER)
    (transfer,) = await seen(client, receipt)
    assert transfer.amount == ETHER
    assert transfer.token is None
    assert transfer.log_index == NATIVE_LOG_INDEX
    assert (transfer.sender, transfer.recipient) == (checksum(accounts[0]), WALLET)
    assert transfer.tx_hash == receipt["transactionHash"]
    assert transfer.block.hash == receipt["blockHash"]
    assert transfer.chain_id == anvil.chain_id


async def test_a_failed_transaction_is_not_seen(
    anvil: Anvil, client: EvmClient, accounts: list[str]
) -> None:
    """Property 21: a reverted outer call carries a value in its bytes, but nothing arrives."""
    put(anvil, WALLET, "0x60006000fd")
    receipt = send(anvil, accounts[0], WALLET, ETHER)
    assert receipt["status"] == "0x0"
    assert await seen(client, receipt) == []


async def test_a_listed_token_is_seen(anvil: Anvil, client: EvmClient, accounts: list[str]) -> None:
    put(anvil, TOKEN, TRANSFER_CODE)
    receipt = send(anvil, accounts[1], TOKEN, data=erc20_transfer(WALLET, 2**255))
    (transfer,) = await seen(client, receipt)
    assert (transfer.token, transfer.amount, transfer.log_index) == (TOKEN, 2**255, 0)
    assert (transfer.sender, transfer.recipient) == (checksum(accounts[1]), WALLET)


@pytest.mark.parametrize(
    ("address", "code"),
    [
        pytest.param(OTHER_TOKEN, TRANSFER_CODE, id="unlisted token"),
        pytest.param(TOKEN, LYING_CODE, id="transfer returns false with status 1"),
        pytest.param(TOKEN, REVERTING_CODE, id="event of a reverted transaction"),
        pytest.param(TOKEN, NFT_CODE, id="ERC-721 event with four topics"),
    ],
)
async def test_a_false_token_transfer_is_not_seen(
    anvil: Anvil, client: EvmClient, accounts: list[str], address: str, code: str
) -> None:
    """Property 22."""
    put(anvil, address, code)
    receipt = send(anvil, accounts[1], address, data=erc20_transfer(WALLET, 77))
    assert await seen(client, receipt) == []


async def test_zero_amounts_and_strangers_are_not_seen(
    anvil: Anvil, client: EvmClient, accounts: list[str]
) -> None:
    put(anvil, TOKEN, TRANSFER_CODE)
    for receipt in (
        send(anvil, accounts[0], WALLET, 0),
        send(anvil, accounts[0], accounts[1], ETHER),
        send(anvil, accounts[0], None, 0, bytes.fromhex("00")),
        send(anvil, accounts[0], TOKEN, data=erc20_transfer(WALLET, 0)),
        send(anvil, accounts[0], TOKEN, data=erc20_transfer(accounts[1], 5)),
    ):
        assert await seen(client, receipt) == []


async def test_a_recipient_with_dirty_upper_bytes_is_not_ours(
    anvil: Anvil, client: EvmClient, accounts: list[str]
) -> None:
    """Property 22: only a contract that lies about addresses emits such a topic."""
    put(anvil, TOKEN, TRANSFER_CODE)
    data = encode_call("transfer(uint256,uint256)", int("1" + WALLET[2:], 16), 5)
    assert await seen(client, send(anvil, accounts[0], TOKEN, data=data)) == []


async def test_one_block_with_many(anvil: Anvil, client: EvmClient, accounts: list[str]) -> None:
    put(anvil, TOKEN, TRANSFER_CODE)
    with held(anvil.rpc_url):
        for i in range(1, 6):
            message = {"from": accounts[i], "to": WALLET, "value": hex(i)}
            anvil.rpc("eth_sendTransaction", message)
            data = "0x" + erc20_transfer(WALLET, i).hex()
            token = {"from": accounts[i], "to": TOKEN, "data": data, "gas": "0x186a0"}
            anvil.rpc("eth_sendTransaction", token)
    head = await client.block("latest")
    scan = await scan_block(client, head.number, {WALLET}, {TOKEN})
    assert sorted(t.amount for t in scan.transfers if t.token is None) == [1, 2, 3, 4, 5]
    assert sorted(t.amount for t in scan.transfers if t.token == TOKEN) == [1, 2, 3, 4, 5]
    assert len({(t.tx_hash, t.log_index) for t in scan.transfers}) == 10
    assert scan.header.block == head
    assert scan.header.parent_hash == (await client.block(head.number - 1)).hash


async def test_a_block_that_is_not_there(client: EvmClient) -> None:
    with pytest.raises(RpcUnavailable, match="no block"):
        await scan_block(client, 10**9, {WALLET}, {TOKEN})
