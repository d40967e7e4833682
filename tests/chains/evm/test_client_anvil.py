"""The client against a real node: reads at a block, receipts, broadcasts of our own bytes."""

import pytest
from coincurve import PrivateKey

from chains.devnet.anvil import Anvil
from chains.devnet.scenario.chain import Fate, held, reorg
from chains.errors import (
    AlreadyKnown,
    BroadcastRejected,
    CallReverted,
    NonceTooLow,
    RpcDisagreement,
    RpcRefused,
    RpcUnavailable,
    UndecodableAnswer,
    Underpriced,
)
from chains.evm.address import address_from_public_key, checksum, keccak
from chains.evm.client import EvmClient
from chains.evm.contracts.sweeper import delegate_of
from chains.evm.transactions import UnsignedTransaction
from tests.chains.evm.conftest import mined
from tests.chains.evm.test_transactions import authorize, sign

pytestmark = pytest.mark.chain

KEY = keccak(b"sender of the client's tests")
SENDER = address_from_public_key(PrivateKey(KEY).public_key.format(compressed=False))
WALLET = checksum("0x" + "d4" * 20)
GWEI = 10**9
ETHER = 10**18


def transaction(
    anvil: Anvil, nonce: int, fee_gwei: int = 10, value: int = 1
) -> UnsignedTransaction:
    return UnsignedTransaction(
        anvil.chain_id, nonce, fee_gwei * GWEI, fee_gwei * GWEI, 21_000, WALLET, value, b""
    )


def signed(tx: UnsignedTransaction) -> str:
    return tx.assemble(*sign(KEY, tx.signing_hash())).raw


@pytest.fixture
def funded(anvil: Anvil) -> Anvil:
    anvil.set_balance(SENDER, 10 * ETHER)
    return anvil


async def test_our_bytes_are_mined_and_the_receipt_is_exact(
    funded: Anvil, client: EvmClient
) -> None:
    await client.check_chain_id()
    tx_hash = await client.send_raw(signed(transaction(funded, 0, value=12345)))
    receipt = await mined(client, tx_hash)
    assert (receipt.status, receipt.gas_used, receipt.logs) == (1, 21_000, ())
    assert (receipt.sender, receipt.to) == (SENDER, WALLET)
    head = await client.block("latest")
    assert receipt.block == head
    spent = 10 * ETHER - await client.balance(SENDER, head)
    assert spent == 12345 + receipt.fee
    assert await client.balance(WALLET, head.number) == 12345
    assert await client.balance(WALLET, head.number - 1) == 0
    assert await client.nonce(SENDER, "latest") == 1
    assert await client.nonce(SENDER, head.number - 1) == 0


async def test_no_receipt_is_none(client: EvmClient) -> None:
    assert await client.receipt("0x" + "00" * 32) is None
    assert await client.transaction("0x" + "00" * 32) is None


async def test_a_read_by_a_block_that_was_reorged_away_is_refused(
    funded: Anvil, client: EvmClient
) -> None:
    """A number would silently name the other block; a BlockRef does not."""
    funded.mine(3)
    gone = await client.block("latest")
    assert await client.balance(SENDER, gone) == 10 * ETHER
    reorg(funded.rpc_url, 2, Fate.LOST)
    with pytest.raises(RpcRefused):
        await client.balance(SENDER, gone)
    assert (await client.block(gone.number)).hash != gone.hash


async def test_refusals_of_a_real_node_have_names(funded: Anvil, client: EvmClient) -> None:
    """Property 14 (in part)."""
    with held(funded.rpc_url):
        first = signed(transaction(funded, 0))
        tx_hash = await client.send_raw(first)
        with pytest.raises(AlreadyKnown):
            await client.send_raw(first)
        with pytest.raises(Underpriced):
            await client.send_raw(signed(transaction(funded, 0, value=2)))
        with pytest.raises(BroadcastRejected):
            await client.send_raw(signed(transaction(funded, 1, value=11 * ETHER)))
        replacement = await client.send_raw(signed(transaction(funded, 0, fee_gwei=12)))
        funded.mine(1)
        assert await client.receipt(tx_hash) is None
        assert await client.receipt(replacement) is not None
        with pytest.raises(NonceTooLow):
            await client.send_raw(first)


async def test_a_set_code_transaction_delegates(funded: Anvil, client: EvmClient) -> None:
    """Our type 4 bytes and authorisation, as a real node reads them."""
    owner_key = keccak(b"a never-used deposit address")
    owner = address_from_public_key(PrivateKey(owner_key).public_key.format(compressed=False))
    authorization = authorize(owner_key, funded.chain_id, WALLET, 0)
    tx = UnsignedTransaction(
        funded.chain_id, 0, GWEI, 10 * GWEI, 100_000, owner, 0, b"", (authorization,)
    )
    receipt = await mined(client, await client.send_raw(signed(tx)))
    assert receipt.status == 1
    assert delegate_of(await client.code(owner, receipt.block)) == WALLET
    assert await client.nonce(owner, "latest") == 1
    assert delegate_of(await client.code(WALLET, receipt.block)) is None


async def test_a_revert_carries_its_data(anvil: Anvil, client: EvmClient) -> None:
    anvil.rpc("anvil_setCode", WALLET, "0x63deadbeef6000526004601cfd")
    head = (await client.block("latest")).number
    with pytest.raises(CallReverted) as caught:
        await client.call(WALLET, b"", head)
    assert caught.value.data == bytes.fromhex("deadbeef")
    with pytest.raises(CallReverted):
        await client.estimate_gas(SENDER, WALLET)


async def test_no_contract_is_no_zero_balance(client: EvmClient) -> None:
    """An account without code answers with nothing; that is not a balance of 0."""
    head = (await client.block("latest")).number
    with pytest.raises(UndecodableAnswer):
        await client.erc20_balance(WALLET, SENDER, head)


async def test_a_missing_block(client: EvmClient) -> None:
    with pytest.raises(RpcUnavailable, match="no block"):
        await client.block(10**9)
    assert await client.headers([10**9]) == [None]


async def test_fees_cover_a_rising_base_fee(client: EvmClient) -> None:
    base = await client.base_fee()
    quote = await client.fees()
    assert quote.max_fee_per_gas >= 2 * base + quote.max_priority_fee_per_gas
    assert quote.max_priority_fee_per_gas > 0


async def test_another_chain_is_noticed(anvil: Anvil) -> None:
    """Property 25 (in part)."""
    other = EvmClient(1, [anvil.rpc_url])
    with pytest.raises(RpcDisagreement, match="another chain"):
        await other.check_chain_id()
    await other.close()
