"""Deploys an installation's own contracts on a running devnet chain."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chains.devnet.artifacts import OUT
from chains.devnet.rpc import ZERO, DevnetError, call, rpc, send, submit, wait_receipt
from chains.devnet.world import World
from chains.evm import parse
from chains.evm.address import checksum
from chains.evm.deployment import ours
from chains.evm.deployment.logs import register_log
from chains.evm.deployment.placing import Site, address_book, place
from chains.types import BlockRef, Log

KIND_AAVE_V3, KIND_ERC4626, KIND_STAKING = 1, 2, 3  # ITreasuryGuard.Kind; 0 means unlisted
CAP_USDC = 50_000_000 * 10**6
"""Base units of USDC that one venue may hold."""
CAP_ETH = 100_000 * 10**18
"""Wei that the staking venue may hold."""


def venue_id(name: str) -> bytes:
    """`aave-usdc` -> bytes32, UTF-8, padded with zeros on the right. Requires at most 32 bytes."""
    raw = name.encode()
    if len(raw) > 32:
        raise ValueError(f"venue name {name!r} has {len(raw)} bytes, 32 are the most")
    return raw.ljust(32, b"\0")


@dataclass(frozen=True)
class UnlockedNode:
    """A devnet chain, sending from one of its unlocked accounts."""

    rpc_url: str
    sender: str

    def chain_id(self) -> int:
        return int(rpc(self.rpc_url, "eth_chainId"), 16)

    def head(self) -> BlockRef:
        return parse.header(rpc(self.rpc_url, "eth_getBlockByNumber", "latest", False)).block

    def code(self, address: str, block: BlockRef) -> bytes:
        return parse.data_bytes(rpc(self.rpc_url, "eth_getCode", address, hex(block.number)))

    def call(self, to: str, data: bytes, block: BlockRef) -> bytes:
        message = {"to": to, "data": "0x" + data.hex()}
        return parse.data_bytes(rpc(self.rpc_url, "eth_call", message, hex(block.number)))

    def logs(self, address: str, topics: Sequence[str], until: BlockRef) -> Sequence[Log]:
        query = {
            "fromBlock": "0x0",
            "toBlock": hex(until.number),
            "address": address,
            "topics": list(topics),
        }
        return parse.logs(rpc(self.rpc_url, "eth_getLogs", query))

    def send(self, to: str, data: bytes) -> None:
        wait_receipt(self.rpc_url, submit(self.rpc_url, self.sender, to, "0x" + data.hex()))


def deploy_installation(
    rpc_url: str,
    world: World,
    *,
    treasury: str,
    payout: str,
    allocator: str,
    anchorer: str,
    owner: str,
    guardian: str,
    log_id: bytes,
    exchange_deposit_address: str | None,
    book: Path | None = None,
) -> dict[str, str]:
    """Place, wire and hand over; returns audit_anchor, payouts, sweeper, guard_usdc and guard_eth.

    The deployer dev account owns log and guards while it lists venues and payees; at the end
    `owner` does. guard_usdc has the venues aave-usdc and vault-usdc, guard_eth has staking-eth. The
    payout wallet is filled from the treasury, so it is no payee of a guard; it must differ from it.
    Run again with the same arguments, it sends nothing. `book` is where the address book goes.
    """
    if treasury.lower() == payout.lower():
        raise DevnetError("the treasury and the payout wallet must be two addresses")
    node = UnlockedNode(rpc_url, checksum(world.accounts.deployer))
    vault, staking = world.vault_usdc, world.staking
    aave = (world.aave.pool, world.aave.reserves["USDC"].a_token)
    usdc_venues = {
        "aave-usdc": (KIND_AAVE_V3, *aave, CAP_USDC),
        "vault-usdc": (KIND_ERC4626, vault, vault, CAP_USDC),
    }
    eth_venues = {"staking-eth": (KIND_STAKING, staking, staking, CAP_ETH)}
    usdc_payees = [treasury, *([exchange_deposit_address] if exchange_deposit_address else [])]
    usdc = world.tokens["USDC"].address

    builds = ours.builds(OUT)
    # Until a guard is wired it is the deployer's; that it was is part of its address.
    roles = (node.sender, guardian, allocator, log_id)
    wanted = (
        ours.audit_anchor(),
        ours.payouts(),
        ours.sweeper(treasury),
        ours.treasury_guard("guard_usdc", usdc, *roles),
        ours.treasury_guard("guard_eth", ZERO, *roles),
    )
    sites = [Site.of(placement, builds[placement.contract]) for placement in wanted]
    at = place(node, sites)
    addresses = {site.placement.name: site.address for site in sites}
    register_log(node, addresses[ours.ANCHOR], log_id, anchorer, owner)
    _guard(node, addresses["guard_usdc"], owner, usdc_venues, usdc_payees)
    _guard(node, addresses["guard_eth"], owner, eth_venues, [treasury])
    if book is not None:
        book.write_text(json.dumps(address_book(node.chain_id(), at, sites), indent=1) + "\n")
    return addresses


def _guard(
    node: UnlockedNode,
    guard: str,
    owner: str,
    venues: dict[str, tuple[int, str, str, int]],
    payees: list[str],
) -> None:
    """List venues and payees, then hand over; what was done before is left as it is.

    Nobody but `owner` can have the guard from the deployer, who lists before he hands over.
    """
    if checksum(_reads(node, guard, "owner()", "(address)")) != node.sender:
        return
    listed = _reads(node, guard, "venueIds()", "(bytes32[])")
    for name, terms in venues.items():
        if venue_id(name) not in listed:
            add_venue = "addVenue(bytes32,uint8,address,address,uint256)"
            send(node.rpc_url, node.sender, guard, add_venue, venue_id(name), *terms)
    for payee in payees:
        if not _reads(node, guard, "isPayee(address)", "(bool)", payee):
            send(node.rpc_url, node.sender, guard, "addPayee(address)", payee)
    if checksum(owner) != node.sender:
        send(node.rpc_url, node.sender, guard, "setOwner(address)", owner)


def _reads(node: UnlockedNode, contract: str, signature: str, returns: str, *arguments: str) -> Any:
    return call(node.rpc_url, contract, signature, *arguments, returns=returns)[0]
