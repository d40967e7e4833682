"""Puts contracts at their places, or finds them there; refuses a chain that has other code.

What has to be on chain is computed here, from the build and the values of its immutables. A node
that ran the constructor for us (`eth_call`) would be believed twice, about what is there and about
what ought to be; masking the immutables would leave them unchecked. So a node is asked for the code
alone, and a client with a quorum asks several. What the constructor stored needs no look: the
address is a hash of code and arguments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from eth_abi.abi import encode

from chains.errors import CodeDiffers, DeployerMissing, DeploymentRefused
from chains.evm.deployment.builds import Build
from chains.evm.deployment.create2 import (
    DEPLOYER,
    DEPLOYER_CODE_HASH,
    code_hash,
    create2_address,
    create2_calldata,
)
from chains.types import BlockRef, Log


class Reader(Protocol):
    """Reads one chain."""

    def chain_id(self) -> int: ...

    def head(self) -> BlockRef: ...

    def code(self, address: str, block: BlockRef) -> bytes: ...

    def call(self, to: str, data: bytes, block: BlockRef) -> bytes: ...

    def logs(self, address: str, topics: Sequence[str], until: BlockRef) -> Sequence[Log]: ...


class Sender(Reader, Protocol):
    """Reads one chain and sends from one account; `send` returns when it is mined, or raises."""

    @property
    def sender(self) -> str: ...

    def send(self, to: str, data: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Placement:
    """One of our contracts, as an installation wants it.

    `name` is the installation's own for it, `contract` the artifact's. `immutables` are the 32-byte
    words that the constructor puts into the code, in the order of declaration.
    """

    name: str
    contract: str
    arguments: tuple[object, ...] = ()
    immutables: tuple[bytes, ...] = ()
    salt: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class Site:
    """A placement with this build's code: where it goes and what has to be there."""

    placement: Placement
    constructor: tuple[str, ...]
    creation_code: bytes
    runtime_code: bytes

    @classmethod
    def of(cls, placement: Placement, build: Build) -> "Site":
        """Raises ValueError or TypeError if arguments or immutables do not fit the build."""
        arguments = encode(list(build.constructor), placement.arguments)
        runtime = build.runtime(placement.immutables)
        return cls(placement, build.constructor, build.creation + arguments, runtime)

    @property
    def address(self) -> str:
        return create2_address(self.placement.salt, self.creation_code)


def place(node: Sender, sites: Sequence[Site]) -> BlockRef:
    """Deploy what is missing; the block at which all of them were seen in place.

    Sends nothing for what is there. Raises as `missing` does, before anything is sent.
    """
    for site in missing(node, sites, node.head()):
        node.send(DEPLOYER, create2_calldata(site.placement.salt, site.creation_code))
    at = node.head()
    for site in missing(node, sites, at):
        name = site.placement.name
        raise DeploymentRefused(f"{name} is not at {site.address} after its deployment", name=name)
    return at


def missing(node: Reader, sites: Sequence[Site], at: BlockRef) -> list[Site]:
    """The sites without code. Raises DeployerMissing, or CodeDiffers if any has other code."""
    _check_deployer(node.code(DEPLOYER, at))
    found = [(site, node.code(site.address, at)) for site in sites]
    for site, code in found:
        if code and code != site.runtime_code:
            raise CodeDiffers(
                f"{site.placement.name} at {site.address}: the chain has code"
                f" {code_hash(code)}, this build gives {code_hash(site.runtime_code)}",
                address=site.address,
            )
    return [site for site, code in found if not code]


def _check_deployer(code: bytes) -> None:
    if not code:
        raise DeployerMissing(
            f"nothing at {DEPLOYER}: this chain has no deterministic deployment proxy yet;"
            " it is placed once for all, by its well-known transaction without an owner"
        )
    if code_hash(code) != DEPLOYER_CODE_HASH:
        raise DeployerMissing(
            f"{DEPLOYER} has code {code_hash(code)}, the deterministic deployment proxy has"
            f" {DEPLOYER_CODE_HASH}"
        )


def address_book(chain_id: int, at: BlockRef, sites: Sequence[Site]) -> Mapping[str, object]:
    """What was seen in place at that block, as JSON: numbers in arguments are decimal strings."""
    return {
        "schema": "moorage.contracts/1",
        "chain_id": chain_id,
        "block": {"number": at.number, "hash": at.hash},
        "deployer": DEPLOYER,
        "contracts": {site.placement.name: _entry(site) for site in sites},
    }


def _entry(site: Site) -> Mapping[str, object]:
    return {
        "contract": site.placement.contract,
        "address": site.address,
        "salt": "0x" + site.placement.salt.hex(),
        "constructor": list(site.constructor),
        "arguments": [_plain(value) for value in site.placement.arguments],
        "creation_code_hash": code_hash(site.creation_code),
        "runtime_code_hash": code_hash(site.runtime_code),
    }


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value if isinstance(value, (str, bool)) else str(value)
