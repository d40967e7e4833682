"""Faults of nodes, one by one: nothing false is ever learnt. Properties 10, 14, 25, 27 in part."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from chains.errors import (
    AlreadyKnown,
    AmbiguousBroadcast,
    BroadcastRejected,
    CallReverted,
    ChainError,
    NonceTooLow,
    RpcDisagreement,
    RpcRefused,
    RpcUnavailable,
    Underpriced,
)
from chains.evm.client import EvmClient
from chains.evm.rpc import BREAKER_FAILURES, Endpoint
from chains.evm.transactions import raw_hash
from chains.evm.watcher import scan_block
from tests.chains.evm.fake_node import Fails, FakeNode
from tests.chains.evm.test_transactions import EXAMPLE, KEY, sign

pytestmark = pytest.mark.chain

RAW = EXAMPLE.assemble(*sign(KEY, EXAMPLE.signing_hash())).raw
HASH = raw_hash(RAW)
ADDRESS = EXAMPLE.to
WALLET = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BLOCK_HASH = "0x" + "aa" * 32
BREAKS = ["hang", "half", "garbage", "html", "empty", "drop", "foreign", "status"]

Start = Callable[..., Awaitable[tuple[EvmClient, list[FakeNode]]]]


def block(**changes: Any) -> dict[str, Any]:
    body = {"number": "0x5", "hash": BLOCK_HASH, "timestamp": "0x1", "parentHash": "0x" + "bb" * 32}
    return {**body, "baseFeePerGas": "0x7", "transactions": [], **changes}


def honest(method: str, params: list[Any]) -> Any:
    match method:
        case "eth_sendRawTransaction":
            return raw_hash(params[0])
        case "eth_getBalance":
            return "0x64"
        case "eth_blockNumber":
            return "0x5"
        case "eth_chainId":
            return "0x1"
        case "eth_getBlockByNumber":
            return block()
        case "eth_getLogs":
            return []
        case "eth_call":
            return "0x" + "00" * 31 + "07"
    raise Fails(f"the method {method} does not exist", -32601)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """A client on one fake node per answer function."""
    async with AsyncExitStack() as stack:

        async def build(*answers: Any, quorum: int = 1) -> tuple[EvmClient, list[FakeNode]]:
            nodes = [await stack.enter_async_context(FakeNode(a)) for a in answers]
            client = EvmClient(1, [n.url for n in nodes], timeout_s=0.3, quorum=quorum)
            stack.push_async_callback(client.close)
            return client, nodes

        yield build


@pytest.mark.parametrize("mode", BREAKS)
async def test_a_broken_answer_to_a_read_teaches_nothing(start: Start, mode: str) -> None:
    """Property 27."""
    client, (node,) = await start(honest)
    node.mode = mode
    with pytest.raises(RpcUnavailable):
        await client.balance(ADDRESS, 5)
    with pytest.raises(RpcUnavailable):
        await scan_block(client, 5, {WALLET}, {ADDRESS})
    node.mode = "ok"
    assert await client.balance(ADDRESS, 5) == 100


@pytest.mark.parametrize("mode", BREAKS)
async def test_another_endpoint_answers_instead(start: Start, mode: str) -> None:
    client, (first, second) = await start(honest, honest)
    first.mode = mode
    assert await client.balance(ADDRESS, 5) == 100
    assert second.seen


@pytest.mark.parametrize("status", [429, 500, 503, 301])
async def test_an_http_status_is_no_answer(start: Start, status: int) -> None:
    """Property 27: even with a fine body."""
    client, (node,) = await start(honest)
    node.mode, node.status = "status", status
    with pytest.raises(RpcUnavailable, match=str(status)):
        await client.block_number()


@pytest.mark.parametrize(
    "answer", [None, 7, "7", "0x", "0xzz", "0x1_0", "0x 1", {}, [], True, "0x" + "f" * 65, "-0x1"]
)
async def test_a_result_of_another_type_is_no_number(start: Start, answer: Any) -> None:
    client, _ = await start(lambda _m, _p: answer)
    with pytest.raises(RpcUnavailable, match="nonsense"):
        await client.balance(ADDRESS, 5)


@pytest.mark.parametrize("mode", BREAKS)
async def test_a_broadcast_without_a_whole_answer_is_ambiguous(start: Start, mode: str) -> None:
    """Property 10: the node may have taken it, whatever we heard."""
    client, (node,) = await start(honest)
    node.mode = mode
    with pytest.raises(AmbiguousBroadcast) as caught:
        await client.send_raw(RAW)
    assert caught.value.values["tx_hash"] == HASH
    assert [m for m, _ in node.seen] == ["eth_sendRawTransaction"]
    node.mode = "ok"
    assert await client.send_raw(RAW) == HASH


async def test_a_broadcast_that_never_left_is_not_ambiguous() -> None:
    client = EvmClient(1, ["http://127.0.0.1:1"], timeout_s=0.3)
    with pytest.raises(RpcUnavailable):
        await client.send_raw(RAW)
    await client.close()


REFUSALS = [
    ("already known", AlreadyKnown),
    ("transaction already imported", AlreadyKnown),
    ("ALREADY_EXISTS: already known", AlreadyKnown),
    ("nonce too low: next nonce 5, tx nonce 2", NonceTooLow),
    ("nonce too low", NonceTooLow),
    ("OldNonce", NonceTooLow),
    ("replacement transaction underpriced", Underpriced),
    ("transaction underpriced: tip needed 1, tip permitted 0", Underpriced),
    ("max fee per gas less than block base fee: address 0x..", Underpriced),
    ("insufficient funds for gas * price + value", BroadcastRejected),
    ("Insufficient funds for gas * price + value", BroadcastRejected),
    ("intrinsic gas too low", BroadcastRejected),
    ("invalid sender", BroadcastRejected),
    ("exceeds block gas limit", BroadcastRejected),
    ("internal error", AmbiguousBroadcast),
    ("txpool is full", AmbiguousBroadcast),
    ("", AmbiguousBroadcast),
]


@pytest.mark.parametrize(("message", "error"), REFUSALS)
async def test_a_refusal_has_a_name(start: Start, message: str, error: type[ChainError]) -> None:
    """Property 14. A text that we do not know leaves it open."""

    def refuse(_method: str, _params: list[Any]) -> Any:
        raise Fails(message)

    client, _ = await start(refuse)
    with pytest.raises(error) as caught:
        await client.send_raw(RAW)
    assert type(caught.value) is error


async def test_another_hash_is_ambiguous(start: Start) -> None:
    client, _ = await start(lambda _m, _p: "0x" + "12" * 32)
    with pytest.raises(AmbiguousBroadcast, match="another hash"):
        await client.send_raw(RAW)


async def test_doubt_at_one_node_is_not_cleared_by_a_refusal_of_the_next(start: Start) -> None:
    """The first may have had it mined already: then the second says "nonce too low"."""

    def refuse(_method: str, _params: list[Any]) -> Any:
        raise Fails("nonce too low")

    client, (first, _second) = await start(honest, refuse)
    first.mode = "hang"
    with pytest.raises(AmbiguousBroadcast):
        await client.send_raw(RAW)


async def test_doubt_at_one_node_is_cleared_by_acceptance_of_the_next(start: Start) -> None:
    client, (first, second) = await start(honest, honest)
    first.mode = "drop"
    assert await client.send_raw(RAW) == HASH
    assert second.seen == [("eth_sendRawTransaction", [RAW])]


async def test_a_revert_is_final_and_another_error_is_not(start: Start) -> None:
    def revert(_method: str, _params: list[Any]) -> Any:
        raise Fails("execution reverted: no", 3, "0x08c379a0")

    def lag(_method: str, _params: list[Any]) -> Any:
        raise Fails("header not found")

    client, (_, other) = await start(revert, honest)
    with pytest.raises(CallReverted) as caught:
        await client.call(ADDRESS, b"", 5)
    assert caught.value.data == bytes.fromhex("08c379a0")
    assert not other.seen

    client, _ = await start(lag, honest)
    assert await client.call(ADDRESS, b"", 5) == (7).to_bytes(32, "big")
    client, _ = await start(lag)
    with pytest.raises(RpcRefused, match="header not found"):
        await client.call(ADDRESS, b"", 5)


def liar(method: str, params: list[Any]) -> Any:
    match method:
        case "eth_getBalance":
            return "0x65"
        case "eth_getBlockByNumber":
            return block(hash="0x" + "ee" * 32)
        case "eth_chainId":
            return "0x2"
    return honest(method, params)


async def test_every_read_of_state_names_its_block(start: Start) -> None:
    """By hash, and canonical only (EIP-1898): a block that was reorganised away is an error."""
    client, (node,) = await start(honest)
    head = await client.block(5)
    await client.balance(ADDRESS, head)
    await client.balance(ADDRESS, 5)
    by_hash = {"blockHash": BLOCK_HASH, "requireCanonical": True}
    asked = [params[1] for method, params in node.seen if method == "eth_getBalance"]
    assert asked == [by_hash, "0x5"]


async def test_two_of_three_agree(start: Start) -> None:
    """Property 25: the liar is outvoted, and counted."""
    client, _ = await start(liar, honest, honest, quorum=2)
    assert await client.balance(ADDRESS, 5) == 100
    assert (await client.block(5)).hash == BLOCK_HASH
    assert client.disagreements == 2
    await client.elsewhere().balance(ADDRESS, 5)
    assert client.disagreements == 3


async def test_a_second_opinion_asks_the_other_endpoint_first(start: Start) -> None:
    client, (first, second) = await start(honest, honest)
    await client.balance(ADDRESS, 5)
    assert (len(first.seen), len(second.seen)) == (1, 0)
    await client.elsewhere().balance(ADDRESS, 5)
    assert (len(first.seen), len(second.seen)) == (1, 1)


async def test_one_against_one_is_nobody(start: Start) -> None:
    """Property 25: no quorum, no answer, and the reason is not silence."""
    client, nodes = await start(liar, honest, quorum=2)
    for read in (client.balance(ADDRESS, 5), client.block(5), client.check_chain_id()):
        with pytest.raises(RpcDisagreement):
            await read
    nodes[0].mode = "garbage"
    with pytest.raises(RpcUnavailable):
        await client.balance(ADDRESS, 5)


async def test_two_camps_of_two_are_nobody(start: Start) -> None:
    client, _ = await start(liar, liar, honest, honest, quorum=2)
    with pytest.raises(RpcDisagreement):
        await client.balance(ADDRESS, 5)


async def test_a_block_with_another_number_is_a_contradiction(start: Start) -> None:
    client, _ = await start(honest)
    with pytest.raises(RpcDisagreement):
        await client.block(6)
    with pytest.raises(RpcDisagreement):
        await scan_block(client, 6, {WALLET}, {ADDRESS})


async def test_a_batch_with_an_answer_missing_is_no_answer(start: Start) -> None:
    client, (node,) = await start(honest)
    original = node._one
    node._one = lambda call: {**original(call), "id": 1}  # type: ignore[method-assign]
    with pytest.raises(RpcUnavailable, match="another question"):
        await client.headers([5, 5])


async def test_a_receipt_of_another_block_or_transaction(start: Start) -> None:
    receipt = {
        "transactionHash": HASH,
        "blockHash": "0x" + "cc" * 32,
        "blockNumber": "0x5",
        "status": "0x1",
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x1",
        "logs": [],
        "from": ADDRESS,
        "to": ADDRESS,
    }

    def answer(method: str, params: list[Any]) -> Any:
        return dict(receipt) if "Receipt" in method else honest(method, params)

    client, _ = await start(answer)
    assert await client.receipt(HASH) is None  # a reorg is under way
    receipt["blockHash"] = BLOCK_HASH
    found = await client.receipt(HASH)
    assert found is not None
    assert found.fee == 21_000
    with pytest.raises(RpcUnavailable, match="another transaction"):
        await client.receipt("0x" + "34" * 32)


async def test_a_log_that_a_reorg_removed_spoils_the_answer(start: Start) -> None:
    log = {
        "address": ADDRESS,
        "topics": [],
        "data": "0x",
        "logIndex": "0x0",
        "transactionHash": HASH,
        "blockNumber": "0x5",
        "blockHash": BLOCK_HASH,
    }
    client, _ = await start(lambda m, p: [log] if m == "eth_getLogs" else honest(m, p))
    assert len(await client.logs(5, 5, [ADDRESS], [])) == 1
    log["removed"] = True  # type: ignore[assignment]
    with pytest.raises(RpcUnavailable, match="reorg"):
        await client.logs(5, 5, [ADDRESS], [])


async def test_the_breaker_passes_a_dead_endpoint_over_and_returns() -> None:
    now = [0.0]
    endpoint = Endpoint("http://127.0.0.1:1", 0.3, monotonic=lambda: now[0])
    for _ in range(BREAKER_FAILURES):
        assert endpoint.healthy
        with pytest.raises(RpcUnavailable):
            await endpoint.request("eth_blockNumber", [])
    assert not endpoint.healthy
    now[0] = 60.0
    assert endpoint.healthy
    await endpoint.close()


async def test_a_dead_endpoint_is_asked_last(start: Start) -> None:
    client, (first, second) = await start(honest, honest)
    first.mode = "garbage"
    for _ in range(BREAKER_FAILURES + 3):
        assert await client.block_number() == 5
    assert len(first.seen) == BREAKER_FAILURES
    assert len(second.seen) == BREAKER_FAILURES + 3


@pytest.mark.parametrize("quorum", [0, 2])
def test_a_quorum_that_cannot_be(quorum: int) -> None:
    with pytest.raises(ValueError, match="quorum"):
        EvmClient(1, ["http://127.0.0.1:1"], quorum=quorum)
