"""What the issuer of USDC can do to those who hold it, by the roles that the contract knows."""

from chains.devnet.rpc import send
from chains.devnet.world import World


def blacklist(rpc_url: str, world: World, account: str) -> None:
    """`account` can neither send nor receive, nor be approved, until `unblacklist`."""
    _act(rpc_url, world, world.usdc_roles.blacklister, "blacklist(address)", account)


def unblacklist(rpc_url: str, world: World, account: str) -> None:
    """End a blacklisting; nothing happens to an account that is on no list."""
    _act(rpc_url, world, world.usdc_roles.blacklister, "unBlacklist(address)", account)


def pause(rpc_url: str, world: World) -> None:
    """Nobody can move any, nor approve or mint, until `unpause`."""
    _act(rpc_url, world, world.usdc_roles.pauser, "pause()")


def unpause(rpc_url: str, world: World) -> None:
    """End a pause."""
    _act(rpc_url, world, world.usdc_roles.pauser, "unpause()")


def _act(rpc_url: str, world: World, sender: str, signature: str, *args: str) -> None:
    send(rpc_url, sender, world.tokens["USDC"].address, signature, *args)
