"""What can happen to those who stake, in the staking simulator."""

from chains.devnet.rpc import DevnetError, call_uint, send
from chains.devnet.scenario.prices import BPS
from chains.devnet.world import World


def slash(rpc_url: str, world: World, bps: int) -> int:
    """Validators lose `bps` of all that is staked, rounded down; returns the loss in wei.

    Every holder of shares bears it at once, and so does a request that is not final. Requires a
    loss of more than nothing and less than all.
    """
    pooled = call_uint(rpc_url, world.staking, "getTotalPooledEther()")
    loss = pooled * bps // BPS
    if not 0 < loss < pooled:
        raise DevnetError(f"a slash of {bps} bps of {pooled} wei")
    report = "handleOracleReport(uint256)"
    send(rpc_url, world.accounts.deployer, world.staking, report, pooled - loss)
    return loss
