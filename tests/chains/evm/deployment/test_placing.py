"""Where things go, and what a chain that does not play along is told."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from chains.devnet.artifacts import OUT
from chains.errors import CodeDiffers, DeploymentRefused
from chains.evm.contracts.guard_setup import GuardSetup
from chains.evm.deployment import ours
from chains.evm.deployment.builds import Build
from chains.evm.deployment.create2 import create2_address, create2_calldata
from chains.evm.deployment.placing import Placement, Site, address_book, place
from chains.types import BlockRef, Log

pytestmark = pytest.mark.unit

ONE = "0x" + "01" * 20
BLOCK = BlockRef(7, "0x" + "07" * 32, 0)


class FakeNode:
    """Has code by address; once something was sent, `deployed` wherever else it is asked."""

    sender = ONE

    def __init__(self, code: dict[str, bytes], deployed: bytes = b"") -> None:
        self._code, self._deployed = code, deployed
        self.sent: list[bytes] = []

    def chain_id(self) -> int:
        return 1

    def head(self) -> BlockRef:
        return BLOCK

    def code(self, address: str, block: BlockRef) -> bytes:
        return self._code.get(address, self._deployed if self.sent else b"")

    def call(self, to: str, data: bytes, block: BlockRef) -> bytes:
        raise AssertionError("placing asks for code and nothing else")

    def logs(self, address: str, topics: Sequence[str], until: BlockRef) -> Sequence[Log]:
        raise AssertionError("placing asks for code and nothing else")

    def send(self, to: str, data: bytes) -> None:
        self.sent.append(data)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr("chains.evm.deployment.placing._check_deployer", lambda code: None)
    build = Build("Thing", b"create", bytes(32), ((0,),), ("address",))
    return Site.of(Placement("thing", "Thing", (ONE,), (bytes(12) + b"\1" * 20,)), build)


def test_a_site_that_has_its_code_is_left_alone(site: Site) -> None:
    node = FakeNode({site.address: site.runtime_code})
    assert place(node, [site]) == BLOCK
    assert node.sent == []


def test_what_is_missing_is_sent_once(site: Site) -> None:
    node = FakeNode({}, deployed=site.runtime_code)
    place(node, [site])
    assert node.sent == [bytes(32) + b"create" + bytes(12) + b"\1" * 20]


def test_a_transaction_that_left_nothing_is_no_deployment(site: Site) -> None:
    with pytest.raises(DeploymentRefused, match=r"not at .* after its deployment"):
        place(FakeNode({}), [site])


def test_a_chain_that_made_other_code_of_ours_is_refused(site: Site) -> None:
    with pytest.raises(CodeDiffers):
        place(FakeNode({}, deployed=b"other"), [site])


def test_nothing_is_sent_if_any_place_has_other_code(site: Site) -> None:
    build = Build("Other", b"create other", b"", (), ())
    other = Site.of(Placement("other", "Other"), build)
    node = FakeNode({other.address: b"x"})
    with pytest.raises(CodeDiffers, match="other at"):
        place(node, [site, other])
    assert node.sent == []


@pytest.mark.parametrize("salt", [b"", b"\0" * 31, b"\0" * 33])
def test_a_salt_has_32_bytes(salt: bytes) -> None:
    with pytest.raises(ValueError, match="salt"):
        create2_address(salt, b"")
    with pytest.raises(ValueError, match="salt"):
        create2_calldata(salt, b"")


def test_a_book_holds_large_numbers_and_bytes_as_text(site: Site) -> None:
    build = Build("Thing", b"c", b"", (), ("uint256", "bytes32", "(bool,uint8)[]"))
    placement = Placement("thing", "Thing", (2**256 - 1, b"\1" * 32, [(True, 3)]))
    book = address_book(1, BLOCK, [Site.of(placement, build)])
    entry = book["contracts"]["thing"]  # type: ignore[index]
    assert entry["arguments"] == [str(2**256 - 1), "0x" + "01" * 32, [[True, "3"]]]


def test_guards_that_are_alike_have_places_of_their_own() -> None:
    """Two pools over one asset with the same roles, or two installations, share no money."""
    build = ours.builds(OUT)["TreasuryGuard"]
    setup = GuardSetup(None, ONE, ONE, ONE, ONE, 1, 86_400, 0, 0, ())
    guards = [
        ours.treasury_guard("guard_a", setup, b"\1" * 32),
        ours.treasury_guard("guard_b", setup, b"\1" * 32),
        ours.treasury_guard("guard_a", setup, b"\2" * 32),
        ours.treasury_guard("guard_a", replace(setup, delay_s=86_401), b"\1" * 32),
    ]
    assert len({Site.of(guard, build).address for guard in guards}) == 4
