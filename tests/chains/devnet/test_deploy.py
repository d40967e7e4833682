"""An installation at deterministic addresses. Kind: integration (needs scripts/setup_node)."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chains.devnet import deploy
from chains.devnet.anvil import REPO
from chains.devnet.artifacts import OUT
from chains.devnet.deploy import UnlockedNode, deploy_installation
from chains.devnet.rpc import DevnetError, call, send, submit
from chains.devnet.world import DevnetChain, start_chain
from chains.errors import ArtifactDiffers, CodeDiffers, DeployerMissing, DeploymentRefused
from chains.evm.address import checksum
from chains.evm.deployment import ours
from chains.evm.deployment.builds import CONTRACTS
from chains.evm.deployment.create2 import DEPLOYER, code_hash
from chains.evm.deployment.placing import Placement, Site, place

pytestmark = pytest.mark.chain

LOG_ID = b"\x0a" * 32
TREASURY, PAYOUT = checksum("0x" + "a1" * 20), checksum("0x" + "a2" * 20)
OWNER, GUARDIAN = checksum("0x" + "a3" * 20), checksum("0x" + "a4" * 20)
ALLOCATOR, ANCHORER = checksum("0x" + "a5" * 20), checksum("0x" + "a6" * 20)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[DevnetChain, DevnetChain]]:
    first, second = (start_chain(REPO / ".cache", chain_id) for chain_id in (31337, 31338))
    with first.anvil, second.anvil:
        yield first, second


@pytest.fixture
def chain(running: tuple[DevnetChain, DevnetChain]) -> Iterator[DevnetChain]:
    """The first chain; what a test does to it is undone."""
    snapshot = running[0].anvil.snapshot()
    yield running[0]
    running[0].anvil.revert(snapshot)


def install(chain: DevnetChain, book: Path | None = None, owner: str = OWNER) -> dict[str, str]:
    return deploy_installation(
        chain.anvil.rpc_url,
        chain.world,
        treasury=TREASURY,
        payout=PAYOUT,
        allocator=ALLOCATOR,
        anchorer=ANCHORER,
        owner=owner,
        guardian=GUARDIAN,
        log_id=LOG_ID,
        exchange_deposit_address=None,
        book=book,
    )


def node_of(chain: DevnetChain) -> UnlockedNode:
    return UnlockedNode(chain.anvil.rpc_url, checksum(chain.world.accounts.deployer))


def sent(chain: DevnetChain) -> int:
    """Transactions of the deploying account."""
    sender = chain.world.accounts.deployer
    return int(chain.anvil.rpc("eth_getTransactionCount", sender, "latest"), 16)


def test_addresses_are_the_same_on_two_chains(running: tuple[DevnetChain, DevnetChain]) -> None:
    snapshots = [chain.anvil.snapshot() for chain in running]
    # What else an account does moves the addresses of plain deployments.
    send(running[0].anvil.rpc_url, running[0].world.accounts.deployer, TREASURY, "x()")
    first, second = (install(chain) for chain in running)
    assert first == second
    assert len(set(first.values())) == 5
    for chain, snapshot in zip(running, snapshots, strict=True):
        chain.anvil.revert(snapshot)


def test_a_second_run_sends_nothing(chain: DevnetChain) -> None:
    before = sent(chain)
    first = install(chain)
    after = sent(chain)
    assert install(chain) == first
    assert before < after == sent(chain)


def test_an_owner_may_deploy_himself(chain: DevnetChain) -> None:
    deployer = chain.world.accounts.deployer
    first, after = install(chain, owner=deployer), sent(chain)
    check_handed_over(chain, first, deployer)
    assert install(chain, owner=deployer) == first
    assert sent(chain) == after


def steps_in(chain: DevnetChain) -> int:
    """Transactions that an installation takes; the chain is as before."""
    snapshot, before = chain.anvil.snapshot(), sent(chain)
    install(chain)
    steps = sent(chain) - before
    chain.anvil.revert(snapshot)
    return steps


def test_a_run_that_died_anywhere_is_finished_by_the_next(
    chain: DevnetChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    for alive in range(steps_in(chain)):
        snapshot = chain.anvil.snapshot()
        with monkeypatch.context() as patched, pytest.raises(DevnetError, match="died"):
            dies = dying_after(alive)
            patched.setattr("chains.devnet.deploy.submit", dies)
            patched.setattr("chains.devnet.rpc.submit", dies)
            install(chain)
        check_handed_over(chain, install(chain))
        chain.anvil.revert(snapshot)


def dying_after(alive: int) -> Callable[..., str]:
    """`submit`, for so many transactions."""
    left = [alive]

    def dies(*arguments: Any, **named: Any) -> str:
        if left[0] == 0:
            raise DevnetError("died")
        left[0] -= 1
        return submit(*arguments, **named)

    return dies


def check_handed_over(chain: DevnetChain, ours: dict[str, str], owner: str = OWNER) -> None:
    url, owner = chain.anvil.rpc_url, owner.lower()
    for guard in (ours["guard_usdc"], ours["guard_eth"]):
        assert call(url, guard, "owner()", returns="(address)")[0] == owner
        assert len(call(url, guard, "venueIds()", returns="(bytes32[])")[0]) > 0
        assert call(url, guard, "isPayee(address)", TREASURY, returns="(bool)")[0]
    anchors = ours["audit_anchor"]
    assert call(url, anchors, "ownerOf(bytes32)", LOG_ID, returns="(address)")[0] == owner
    is_anchorer = "isAnchorer(bytes32,address)"
    assert call(url, anchors, is_anchorer, LOG_ID, ANCHORER, returns="(bool)")[0]


def test_the_deploying_account_keeps_nothing(chain: DevnetChain) -> None:
    check_handed_over(chain, install(chain))


def test_the_book_says_what_is_where(chain: DevnetChain, tmp_path: Path) -> None:
    file = tmp_path / "book.json"
    deployed = install(chain, file)
    book, node = json.loads(file.read_text()), node_of(chain)
    assert (book["chain_id"], book["deployer"]) == (31337, DEPLOYER)
    named = chain.anvil.rpc("eth_getBlockByNumber", hex(book["block"]["number"]), False)
    assert named["hash"] == book["block"]["hash"]
    entries = book["contracts"]
    assert {name: entry["address"] for name, entry in entries.items()} == deployed
    for entry in entries.values():
        assert entry["runtime_code_hash"] == code_hash(node.code(entry["address"], node.head()))
    usdc = chain.world.tokens["USDC"].address
    guard = entries["guard_usdc"]
    assert guard["constructor"][0].startswith("(address,address,address,address,address,uint256")
    assert guard["arguments"][0][:5] == [usdc, OWNER, GUARDIAN, ALLOCATOR, TREASURY]
    assert guard["arguments"][0][7] == "1000000"
    assert (guard["contract"], entries["sweeper"]["arguments"]) == ("TreasuryGuard", [TREASURY])
    # All a reader needs to find the address himself.
    assert len(bytes.fromhex(guard["salt"][2:])) == 32
    assert entries["payouts"]["salt"] == "0x" + "00" * 32


@pytest.mark.parametrize("code", ["0x00", "another treasury"])
def test_other_code_in_a_place_is_refused_with_both_hashes(chain: DevnetChain, code: str) -> None:
    """Also code that differs in nothing but an immutable."""
    build, before = ours.builds(OUT)["Sweeper"], sent(chain)
    site = Site.of(ours.sweeper(TREASURY), build)
    if code != "0x00":
        code = "0x" + Site.of(ours.sweeper(PAYOUT), build).runtime_code.hex()
    chain.anvil.rpc("anvil_setCode", site.address, code)
    with pytest.raises(CodeDiffers) as refused:
        install(chain)
    assert site.address in refused.value.detail
    assert code_hash(bytes.fromhex(code[2:])) in refused.value.detail
    assert code_hash(site.runtime_code) in refused.value.detail
    assert sent(chain) == before


@pytest.mark.parametrize(
    ("code", "says"),
    [("0x", "no deterministic deployment proxy"), ("0x6000", code_hash(b"\x60\x00"))],
)
def test_a_chain_without_the_right_deployer_is_refused(
    chain: DevnetChain, code: str, says: str
) -> None:
    before = sent(chain)
    chain.anvil.rpc("anvil_setCode", DEPLOYER, code)
    with pytest.raises(DeployerMissing, match=says):
        install(chain)
    assert sent(chain) == before


def test_a_tampered_artifact_is_refused(
    chain: DevnetChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CONTRACTS:
        shutil.copytree(OUT / f"{name}.sol", tmp_path / f"{name}.sol")
    file = tmp_path / "Payouts.sol" / "Payouts.json"
    body = json.loads(file.read_text())
    body["bytecode"]["object"] += "00"
    file.write_text(json.dumps(body))
    monkeypatch.setattr(deploy, "OUT", tmp_path)
    before = sent(chain)
    with pytest.raises(ArtifactDiffers, match="Payouts"):
        install(chain)
    assert sent(chain) == before


def test_a_hub_is_placed_behind_its_sweeper(chain: DevnetChain) -> None:
    """What its constructor makes of the sweeper's address is computed here, and is there."""
    builds, node = ours.builds(OUT), node_of(chain)
    sweeper = Site.of(ours.sweeper(TREASURY), builds["Sweeper"])
    hub = Site.of(ours.sweep_hub(sweeper.address, ALLOCATOR), builds["SweepHub"])
    at = place(node, [sweeper, hub])
    assert node.code(hub.address, at) == hub.runtime_code


def test_a_constructor_that_reverts_deploys_nothing(chain: DevnetChain) -> None:
    zero = "0x" + "00" * 20
    site = Site.of(Placement("s", "Sweeper", (zero,), (bytes(32),)), ours.builds(OUT)["Sweeper"])
    with pytest.raises(DevnetError):
        place(node_of(chain), [site])


def stranger_registers(chain: DevnetChain, hand_to: str) -> None:
    """Somebody saw the log id on its way: his anchorer is in, and the log is ours in name."""
    node = node_of(chain)
    site = Site.of(ours.audit_anchor(), ours.builds(OUT)["AuditAnchor"])
    place(node, [site])
    stranger = chain.world.accounts.whale
    url = chain.anvil.rpc_url
    send(url, stranger, site.address, "register(bytes32,address)", LOG_ID, stranger)
    send(url, stranger, site.address, "addAnchorer(bytes32,address)", LOG_ID, ANCHORER)
    if hand_to != stranger:
        transfer = "transferOwnership(bytes32,address)"
        send(url, stranger, site.address, transfer, LOG_ID, hand_to)


@pytest.mark.parametrize("hand_to", ["whale", "deployer", OWNER])
def test_a_log_that_a_stranger_registered_is_refused(chain: DevnetChain, hand_to: str) -> None:
    to = getattr(chain.world.accounts, hand_to, hand_to)
    stranger_registers(chain, to)
    with pytest.raises(DeploymentRefused, match="was registered by"):
        install(chain)


def test_treasury_and_payout_are_two_addresses(chain: DevnetChain) -> None:
    with pytest.raises(DevnetError, match="two addresses"):
        deploy_installation(
            chain.anvil.rpc_url,
            chain.world,
            treasury=TREASURY,
            payout=TREASURY.lower(),
            allocator=ALLOCATOR,
            anchorer=ANCHORER,
            owner=OWNER,
            guardian=GUARDIAN,
            log_id=LOG_ID,
            exchange_deposit_address=None,
        )
