"""Deploys an installation's own contracts on a running devnet chain."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chains.devnet.artifacts import OUT
from chains.devnet.guards import Roles, eth_setup, usdc_setup
from chains.devnet.rpc import DevnetError, rpc, submit, wait_receipt
from chains.devnet.world import World
from chains.evm import parse
from chains.evm.address import checksum
from chains.evm.deployment import ours
from chains.evm.deployment.logs import register_log
from chains.evm.deployment.placing import Site, address_book, place
from chains.types import BlockRef, Log


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
    sweep_operator: str | None = None,
    book: Path | None = None,
) -> dict[str, str]:
    """Place, wire and hand over; returns audit_anchor, payouts, sweeper, guard_usdc and guard_eth,
    and sweep_hub where `sweep_operator` says who may use it.

    The deployer dev account owns the log until it hands it to `owner`. guard_usdc has the venues
    aave-usdc and vault-usdc, guard_eth has staking-eth. The payout wallet is filled from the
    treasury, so it is no payee of a guard; it must differ from it. Run again with the same
    arguments, it sends nothing. `book` is where the address book goes.
    """
    if treasury.lower() == payout.lower():
        raise DevnetError("the treasury and the payout wallet must be two addresses")
    node = UnlockedNode(rpc_url, checksum(world.accounts.deployer))
    roles = Roles(*map(checksum, (owner, guardian, allocator, treasury)))
    builds = ours.builds(OUT)
    wanted = (
        ours.audit_anchor(),
        ours.payouts(),
        ours.sweeper(treasury),
        ours.treasury_guard(
            "guard_usdc", usdc_setup(world, roles, exchange_deposit_address), log_id
        ),
        ours.treasury_guard("guard_eth", eth_setup(world, roles), log_id),
    )
    sites = [Site.of(placement, builds[placement.contract]) for placement in wanted]
    if sweep_operator is not None:
        swept_by = next(site.address for site in sites if site.placement.name == "sweeper")
        hub = ours.sweep_hub(swept_by, checksum(sweep_operator))
        sites.append(Site.of(hub, builds[hub.contract]))
    at = place(node, sites)
    addresses = {site.placement.name: site.address for site in sites}
    register_log(node, addresses[ours.ANCHOR], log_id, anchorer, owner)
    if book is not None:
        book.write_text(json.dumps(address_book(node.chain_id(), at, sites), indent=1) + "\n")
    return addresses
