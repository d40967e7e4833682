"""What the price feeds say. Every lending market of the world reads them."""

from chains.devnet.rpc import DevnetError, call, send
from chains.devnet.world import World

BPS = 10_000


def price(rpc_url: str, world: World, symbol: str) -> int:
    """USD with 8 decimals for one whole token."""
    answer = call(rpc_url, world.feeds[symbol], "latestAnswer()", returns="(int256)")
    return int(answer[0])


def set_price(rpc_url: str, world: World, symbol: str, usd: int) -> None:
    """`usd` with 8 decimals. Zero and less are taken: a feed can say such things."""
    send(rpc_url, world.accounts.deployer, world.feeds[symbol], "setPrice(int256)", usd)


def move_price(rpc_url: str, world: World, symbol: str, bps: int) -> int:
    """Move a price to `bps` of what it is, rounded down; returns what it was.

    4,000 is a crash by 60 %, 10,000 changes nothing. Raises DevnetError if nothing would be left.
    """
    before = price(rpc_url, world, symbol)
    after = before * bps // BPS
    if after <= 0:
        raise DevnetError(f"{bps} bps of {symbol} at {before} is no price")
    set_price(rpc_url, world, symbol, after)
    return before
