"""Who is who among the unlocked accounts of a devnet chain."""

from dataclasses import dataclass, fields

from eth_utils.address import to_checksum_address

from chains.devnet.rpc import rpc


@dataclass(frozen=True)
class Accounts:
    """Throw-away accounts of Anvil's public test mnemonic, in its order."""

    deployer: str
    usdc_minter: str
    whale: str
    """Has plenty of every token and supplies most of each market."""
    borrower: str
    """Owes something in each market."""
    exchange_hot: str
    collector: str
    """Gets the markets' reserve factors and fees."""
    usdc_admin: str
    market_admin: str
    """Deploys and governs the lending markets."""


def accounts_of(rpc_url: str) -> Accounts:
    """The first of the node's accounts, each in its role."""
    unlocked = rpc(rpc_url, "eth_accounts")[: len(fields(Accounts))]
    return Accounts(*map(to_checksum_address, unlocked))
