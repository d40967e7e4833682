"""The hub's wrapper, real batches in USDC and ether, what they cost, and replays between two chains."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.datastructures import SignedSetCodeAuthorization

from chains.devnet.anvil import Anvil
from chains.devnet.rpc import (
    Artifact,
    call_uint,
    deploy,
    encode_call,
    rpc,
    send,
    wait_receipt,
)
from chains.devnet.artifacts import OUT, own_artifact
from chains.devnet.world import DevnetChain, start_chain
from chains.errors import CallReverted
from chains.evm.address import ZERO_ADDRESS, checksum
from chains.evm.client import EvmClient
from chains.evm.contracts import sweep_hub, sweeper
from chains.evm.contracts.sweep_hub import AMOUNT_MAX, Reason, Skipped, Sweep, SweepHub
from chains.evm.transactions import Authorization
from chains.types import Log, Receipt
from scripts.bench_gas.sweeps import (
    BadWallet,
    measure_bad_wallet,
    measure_sweeps,
    true_first_sweep,
)
from scripts.bench_gas.yard import AMOUNT, Wallet, Yard

REPO = Path(__file__).resolve().parents[4]
ETHER, GWEI = 10**18, 10**9
ALICE, BOB = checksum("0x" + "a1" * 20), checksum("0x" + "b0" * 20)


@dataclass
class Setting:
    """A chain with USDC, a hub and its operator."""

    yard: Yard
    usdc: str
    plain: str
    client: EvmClient

    async def receipt(self) -> Receipt:
        """Of the only transaction in the newest block."""
        block = rpc(self.yard.rpc_url, "eth_getBlockByNumber", "latest", False)
        (tx_hash,) = block["transactions"]
        receipt = await self.client.receipt(tx_hash)
        assert receipt is not None
        return receipt


@pytest.fixture(scope="module")
def world() -> Iterator[DevnetChain]:
    chain = start_chain(REPO / ".cache", 31337)
    yield chain
    chain.anvil.stop()


@pytest.fixture
async def at(world: DevnetChain) -> AsyncIterator[Setting]:
    snapshot = world.anvil.snapshot()
    client = EvmClient(31337, [world.anvil.rpc_url])
    accounts, tokens = world.world.accounts, world.world.tokens
    yard = Yard(world.anvil.rpc_url, accounts.deployer, accounts.whale)
    yield Setting(yard, tokens["USDC"].address, tokens["TDAI"].address, client)
    await client.close()
    world.anvil.revert(snapshot)


@pytest.mark.chain
async def test_a_batch_sweeps_the_good_and_names_the_bad(at: Setting) -> None:
    """A stale authorisation is skipped by the chain without a word; the hub says so."""
    yard = at.yard
    good, stale, refused, empty, last = yard.wallets(5)
    yard.fund(at.usdc, [w.address for w in (good, stale, refused, last)])
    send(yard.rpc_url, yard.deployer, at.usdc, "blacklist(address)", refused.address)
    authorizations = [yard.authorize(w) for w in (good, refused, empty, last)]
    authorizations.append(yard.authorize(stale, nonce=1))
    wallets = [w.address for w in (good, stale, refused, empty, last)]
    sweeps = [Sweep(good.address, AMOUNT), *(Sweep(w) for w in wallets[1:])]
    data = sweep_hub.encode_sweep_token(at.usdc, sweeps)
    yard.signed(yard.operator, yard.hub, data, authorizations)

    receipt = await at.receipt()
    assert sweep_hub.skipped(receipt.logs, yard.hub, at.usdc) == [
        Skipped(1, stale.address, Reason.NOT_DELEGATED),
        Skipped(2, refused.address, Reason.TRANSFER_FAILED),
    ]
    assert sweep_hub.skipped(receipt.logs, yard.hub, at.plain) == []
    assert sweep_hub.skipped(receipt.logs, at.usdc, at.usdc) == []
    moved = [sweeper.swept(receipt.logs, w, at.usdc, yard.treasury) for w in wallets]
    assert moved == [AMOUNT, 0, 0, 0, AMOUNT + 3 * AMOUNT // 997]
    assert yard.balance(at.usdc, yard.treasury) == sum(moved)
    assert yard.balance(at.usdc, stale.address) == AMOUNT + AMOUNT // 997

    # A hub that believes whatever does not revert counts the stale one as swept.
    naive = encode_call("sweep(address,address[])", at.usdc, [good.address, stale.address])
    answer = await at.client.call(yard.naive_hub, bytes.fromhex(naive[2:]), receipt.block)
    assert int.from_bytes(answer) == 2


@pytest.mark.chain
async def test_a_native_batch(at: Setting) -> None:
    yard = at.yard
    good, stranger = yard.wallets(2)
    yard.signed(yard.operator, good.address, b"", [yard.authorize(good)])
    for wallet in (good, stranger):
        yard.pay(yard.deployer, wallet.address, "0x", value=ETHER)
    wallets = [good.address, stranger.address]
    yard.signed(yard.operator, yard.hub, sweep_hub.encode_sweep_native(wallets))
    receipt = await at.receipt()
    assert [sweeper.native_swept(receipt.logs, w) for w in wallets] == [ETHER, 0]
    assert sweep_hub.skipped(receipt.logs, yard.hub, None) == [
        Skipped(1, stranger.address, Reason.NOT_DELEGATED)
    ]
    assert await at.client.balance(yard.treasury, receipt.block) == ETHER


@pytest.mark.chain
async def test_what_a_hub_is(at: Setting) -> None:
    hub, block = SweepHub(at.client, at.yard.hub), await at.client.block_number()
    assert await hub.operator(block) == at.yard.operator.address
    assert await hub.sweeper(block) == at.yard.sweeper
    assert await hub.wallet_gas(block) == 200_000
    data = sweep_hub.encode_sweep_token(at.usdc, [Sweep(ALICE)])
    with pytest.raises(CallReverted):
        await at.client.call(at.yard.hub, data, block, sender=BOB)
    assert await at.client.call(at.yard.hub, data, block, sender=at.yard.operator.address)


@pytest.mark.chain
async def test_gas_of_a_hundred_sweeps(at: Setting) -> None:
    """The bars of the contract's own gas tests, in receipts; ours is below every peer."""
    measured = measure_sweeps(
        at.yard.rpc_url,
        deployer=at.yard.deployer,
        whale=at.yard.whale,
        usdc=at.usdc,
        plain=at.plain,
        batches=(100,),
    )
    gas = {m.name: m.gas for m in measured}
    assert gas["usdc, later sweep"] <= 11_600
    assert gas["erc-20, later sweep"] <= 9_750
    assert gas["usdc, first sweep with delegation"] <= 29_600
    assert true_first_sweep(gas["usdc, first sweep with delegation"]) <= 32_200
    for kind in ("usdc", "erc-20"):
        flushed = gas[f"{kind}, CREATE2 forwarder flushed"]
        naive = gas[f"{kind}, later sweep by a naive hub"]
        assert gas[f"{kind}, later sweep"] < min(flushed, naive)
        made = gas[f"{kind}, CREATE2 forwarder made and flushed"]
        assert gas[f"{kind}, first sweep with delegation"] < made
    assert gas["usdc, fund-then-transfer gas station"] > 5 * gas["usdc, later sweep"]


@pytest.mark.chain
async def test_one_invalid_wallet_of_ten(at: Setting) -> None:
    found = measure_bad_wallet(
        at.yard.rpc_url, deployer=at.yard.deployer, whale=at.yard.whale, usdc=at.usdc
    )
    assert found == [BadWallet("hub", 9, 9), BadWallet("naive hub", 9, 0)]


# --- An authorisation for any chain ---

CHAIN_IDS = (31398, 31397)


@dataclass(frozen=True)
class TwoChains:
    """The same deployer has put the same two delegates at the same addresses of both."""

    urls: tuple[str, str]
    deployer: str
    thief: Wallet
    treasury: str
    weak: str
    ours: str
    tokens: tuple[str, str]

    def delegate(self, chain: int, authorization: SignedSetCodeAuthorization) -> None:
        """Anybody can send somebody's authorisation; here the thief does."""
        url = self.urls[chain]
        nonce = int(rpc(url, "eth_getTransactionCount", self.thief.address, "latest"), 16)
        signed = Account.sign_transaction(
            {
                "chainId": CHAIN_IDS[chain],
                "nonce": nonce,
                "gas": 200_000,
                "maxFeePerGas": 100 * GWEI,
                "maxPriorityFeePerGas": GWEI,
                "to": ZERO_ADDRESS,
                "value": 0,
                "authorizationList": [authorization],
            },
            self.thief.key,
        )
        tx_hash = rpc(url, "eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        wait_receipt(url, tx_hash)

    def balance(self, chain: int, holder: str) -> int:
        return call_uint(self.urls[chain], self.tokens[chain], "balanceOf(address)", holder)


@pytest.fixture
def two() -> Iterator[TwoChains]:
    with Anvil.start(chain_id=CHAIN_IDS[0]) as first, Anvil.start(chain_id=CHAIN_IDS[1]) as second:
        thief, treasury = Wallet.of("thief"), Wallet.of("treasury").address
        weak_artifact = Artifact.load(OUT / "WeakSweep.sol" / "WeakSweeper.json")
        deployed = []
        for node in (first, second):
            url, deployer = node.rpc_url, node.rpc("eth_accounts")[0]
            node.set_balance(thief.address, ETHER)
            weak = deploy(url, deployer, weak_artifact)
            ours = deploy(url, deployer, own_artifact("Sweeper"), treasury)
            token = deploy(url, deployer, own_artifact("TestToken"), "T", "T", 6)
            deployed.append((url, deployer, weak, ours, token))
        urls, (deployer, _), (weak, again), (ours, twice), tokens = zip(*deployed, strict=True)
        assert (weak, ours) == (again, twice)
        yield TwoChains(urls, deployer, thief, treasury, weak, ours, tokens)


@pytest.mark.chain
def test_an_authorisation_for_any_chain_is_replayed_and_steals_nothing(two: TwoChains) -> None:
    for delegate in (two.weak, two.ours):
        wallet = Wallet.of(f"wallet of {delegate}")
        anywhere = Account.sign_authorization(
            {"chainId": 0, "address": delegate, "nonce": 0}, wallet.key
        )
        for chain, url in enumerate(two.urls):
            send(url, two.deployer, two.tokens[chain], "mint(address,uint256)", wallet.address, 7)
            two.delegate(chain, anywhere)
        # On the first chain the owner was there first; on the second the thief is.
        takes = (two.treasury, two.thief.address)
        for chain, url in enumerate(two.urls):
            if delegate == two.weak:
                send(url, two.deployer, wallet.address, "init(address)", takes[chain])
            send(url, two.deployer, wallet.address, "sweep(address)", two.tokens[chain])
    assert [two.balance(0, two.treasury), two.balance(0, two.thief.address)] == [14, 0]
    assert [two.balance(1, two.treasury), two.balance(1, two.thief.address)] == [7, 7]


@pytest.mark.chain
def test_our_authorisations_are_for_one_chain(two: TwoChains) -> None:
    wallet = Wallet.of("bound")
    bound = Account.sign_authorization(
        {"chainId": CHAIN_IDS[0], "address": two.ours, "nonce": 0}, wallet.key
    )
    codes = []
    for chain, url in enumerate(two.urls):
        two.delegate(chain, bound)
        code = rpc(url, "eth_getCode", wallet.address, "latest")
        codes.append(sweeper.delegate_of(bytes.fromhex(code[2:])))
    assert codes == [two.ours, None]
    signed = Authorization(CHAIN_IDS[0], two.ours, 0, bound.y_parity, bound.r, bound.s)
    assert signed.authority() == wallet.address
    with pytest.raises(ValueError, match="chain_id"):
        replace(signed, chain_id=0)


# --- Words and events ---


@pytest.mark.unit
def test_words() -> None:
    sweeps = [Sweep(ALICE, 1), Sweep(BOB, AMOUNT_MAX), Sweep(ALICE)]
    assert [f"{w:064x}" for w in sweep_hub.pack(sweeps)] == [
        "a1" * 20 + "0" * 23 + "1",
        "b0" * 20 + "f" * 24,
        "a1" * 20 + "0" * 24,
    ]


@pytest.mark.unit
def test_what_does_not_fit_is_refused() -> None:
    for amount in (-1, AMOUNT_MAX + 1):
        with pytest.raises(ValueError, match="does not fit"):
            sweep_hub.pack([Sweep(ALICE, amount)])
    with pytest.raises(ValueError, match="at least one"):
        sweep_hub.encode_sweep_native([])
    with pytest.raises(ValueError, match="not an address"):
        sweep_hub.encode_sweep_token(ZERO_ADDRESS, [Sweep("0x12")])


@pytest.mark.unit
def test_an_unknown_reason_is_refused() -> None:
    event = sweep_hub.SKIPPED
    topics = (event, "0x" + "0" * 64, "0x" + "0" * 24 + ALICE[2:].lower())
    log = Log(BOB, topics, "0x" + f"{3:064x}" + "01020304" + "0" * 56, 0)
    with pytest.raises(ValueError, match="not a valid Reason"):
        sweep_hub.skipped([log], BOB, None)
