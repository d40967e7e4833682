"""The payouts wrapper: its words and events, and real batches in USDC and ether."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from chains.devnet.rpc import deploy, send, submit, wait_receipt
from chains.devnet.scenario.usdc import blacklist
from chains.devnet.artifacts import own_artifact
from chains.devnet.world import DevnetChain, start_chain
from chains.errors import CallReverted
from chains.evm.address import ZERO_ADDRESS, checksum, keccak
from chains.evm.client import EvmClient
from chains.evm.contracts import payouts
from chains.evm.contracts.erc20 import Erc20
from chains.evm.contracts.payouts import AMOUNT_MAX, PaidBatch, Payout, Payouts, Skipped
from chains.types import Log, Receipt
from tests.chains.evm.conftest import mined

REPO = Path(__file__).resolve().parents[4]
UNIT, ETHER = 10**6, 10**18
ALICE, BOB = checksum("0x" + "a1" * 20), checksum("0x" + "b0" * 20)


def payouts_of(count: int, amount: int, salt: str = "") -> list[Payout]:
    """Recipients that nothing else knows, each with a little more than the one before."""
    return [
        Payout(checksum("0x" + keccak(f"{salt}{i}".encode())[12:].hex()), amount + i * amount // 997)
        for i in range(count)
    ]


@dataclass
class Setting:
    """A chain with USDC, the contract on it, and a payer with money."""

    chain: DevnetChain
    contract: str
    payer: str
    usdc: str
    client: EvmClient

    async def pay_token(self, batch_id: int, batch: Sequence[Payout]) -> Receipt:
        return await self._send(payouts.encode_pay_token(self.usdc, batch_id, batch), 0)

    async def pay_native(self, batch_id: int, batch: Sequence[Payout]) -> Receipt:
        data = payouts.encode_pay_native(batch_id, batch)
        return await self._send(data, payouts.total(batch))

    async def _send(self, data: bytes, value: int) -> Receipt:
        url = self.chain.anvil.rpc_url
        tx_hash = submit(url, self.payer, self.contract, "0x" + data.hex(), value=value)
        wait_receipt(url, tx_hash)
        return await mined(self.client, tx_hash)


@pytest.fixture(scope="module")
def world() -> Iterator[DevnetChain]:
    chain = start_chain(REPO / ".cache", 31337)
    yield chain
    chain.anvil.stop()


@pytest.fixture
async def at(world: DevnetChain) -> AsyncIterator[Setting]:
    snapshot = world.anvil.snapshot()
    client = EvmClient(31337, [world.anvil.rpc_url])
    url, accounts = world.anvil.rpc_url, world.world.accounts
    contract = deploy(url, accounts.deployer, own_artifact("Payouts"))
    payer, usdc = accounts.whale, world.world.tokens["USDC"].address
    send(url, payer, usdc, "approve(address,uint256)", contract, 10_000_000 * UNIT)
    yield Setting(world, contract, payer, usdc, client)
    await client.close()
    world.anvil.revert(snapshot)


@pytest.mark.chain
async def test_a_token_batch_skips_whom_usdc_refuses(at: Setting) -> None:
    contract, token = Payouts(at.client, at.contract), Erc20(at.client, at.usdc)
    blacklist(at.chain.anvil.rpc_url, at.chain.world, BOB)
    batch = [Payout(ALICE, 5 * UNIT), Payout(BOB, 7 * UNIT), *payouts_of(3, UNIT)]
    before = await token.balance_of(at.payer, await at.client.block_number())
    receipt = await at.pay_token(7, batch)
    paid = payouts.total(batch) - 7 * UNIT
    assert payouts.paid_batch(receipt.logs, at.contract, at.payer, 7) == PaidBatch(
        at.usdc, payouts.digest(batch), 5, paid, (Skipped(1, batch[1]),)
    )
    assert await token.balance_of(ALICE, receipt.block) == 5 * UNIT
    assert await token.balance_of(BOB, receipt.block) == 0
    assert await token.balance_of(at.contract, receipt.block) == 0
    assert before - await token.balance_of(at.payer, receipt.block) == paid
    assert await contract.is_used(at.payer, 7, receipt.block)
    assert not await contract.is_used(at.payer, 8, receipt.block)
    assert not await contract.is_used(ALICE, 7, receipt.block)
    replay = payouts.encode_pay_token(at.usdc, 7, batch)
    with pytest.raises(CallReverted):
        await at.client.call(at.contract, replay, receipt.block, sender=at.payer)
    assert payouts.paid_batch(receipt.logs, at.contract, at.payer, 8) is None
    assert payouts.paid_batch(receipt.logs, at.contract, ALICE, 7) is None
    assert payouts.paid_batch(receipt.logs, at.usdc, at.payer, 7) is None


@pytest.mark.chain
async def test_a_native_batch_skips_a_contract_that_takes_no_ether(at: Setting) -> None:
    batch = [Payout(ALICE, ETHER), Payout(at.usdc, 2 * ETHER), Payout(BOB, 3)]
    receipt = await at.pay_native(2**256 - 1, batch)
    assert payouts.paid_batch(receipt.logs, at.contract, at.payer, 2**256 - 1) == PaidBatch(
        None, payouts.digest(batch), 3, ETHER + 3, (Skipped(1, batch[1]),)
    )
    anvil = at.chain.anvil
    assert int(anvil.rpc("eth_getBalance", ALICE, "latest"), 16) == ETHER
    assert int(anvil.rpc("eth_getBalance", at.contract, "latest"), 16) == 0
    contract = Payouts(at.client, at.contract)
    assert await contract.token_gas(receipt.block) == 200_000
    assert await contract.native_gas(receipt.block) == 30_000


@pytest.mark.chain
async def test_gas_of_a_hundred_payouts(at: Setting) -> None:
    """The bars of the contract's own gas tests, in receipts."""
    await at.pay_token(0, [Payout(ALICE, 1)])  # The first id of 256 opens a slot of storage.
    batch = payouts_of(100, 25 * UNIT)
    first = await at.pay_token(1, batch)
    again = await at.pay_token(2, batch)
    assert first.gas_used / 100 <= 28_700
    assert again.gas_used / 100 <= 11_600
    coins = payouts_of(100, ETHER // 20)
    await at.pay_native(3, coins)
    receipt = await at.pay_native(4, coins)
    assert receipt.gas_used / 100 <= 10_350


@pytest.mark.unit
def test_words() -> None:
    batch = [Payout(ALICE, 1), Payout(BOB, AMOUNT_MAX)]
    assert [f"{w:064x}" for w in payouts.pack(batch)] == [
        "a1" * 20 + "0" * 23 + "1",
        "b0" * 20 + "f" * 24,
    ]
    assert payouts.total(batch) == AMOUNT_MAX + 1
    whole = bytes.fromhex("a1" * 20 + "0" * 23 + "1" + "b0" * 20 + "f" * 24)
    assert payouts.digest(batch) == keccak(whole)
    assert payouts.digest(batch[::-1]) != keccak(whole)


@pytest.mark.unit
@pytest.mark.parametrize("amount", [-1, 0, AMOUNT_MAX + 1])
def test_an_amount_that_does_not_fit_is_refused(amount: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        payouts.pack([Payout(ALICE, amount)])


@pytest.mark.unit
def test_an_empty_batch_and_a_bad_address_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        payouts.encode_pay_native(1, [])
    with pytest.raises(ValueError, match="not an address"):
        payouts.encode_pay_token(ZERO_ADDRESS, 1, [Payout("0x12", 1)])


@pytest.mark.unit
def test_events_that_contradict_each_other_are_refused() -> None:
    signature = b"BatchPaid(address,uint256,address,bytes32,uint256,uint256,uint256)"
    indexed = ("0x" + "0" * 24 + ALICE[2:].lower(), "0x" + f"{7:064x}", "0x" + "0" * 64)
    data = "0x" + "11" * 32 + f"{3:064x}{2:064x}{1:064x}"
    log = Log(BOB, ("0x" + keccak(signature).hex(), *indexed), data, 0)
    with pytest.raises(ValueError, match="1 payouts were skipped, 0 logged"):
        payouts.paid_batch([log], BOB, ALICE, 7)
