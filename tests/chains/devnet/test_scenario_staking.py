"""A slash in the staking simulator. Kind: integration."""

import pytest

from chains.devnet import outside
from chains.devnet.rpc import ZERO, DevnetError, call, call_uint, send
from chains.devnet.scenario.chain import warp
from chains.devnet.scenario.staking import slash
from chains.devnet.world import DevnetChain

pytestmark = pytest.mark.chain

ETHER = 10**18
DAY_S = 24 * 3600


def claimable(chain: DevnetChain, request: int) -> int:
    url, staking = chain.anvil.rpc_url, chain.world.staking
    signature = "getClaimableEther(uint256[],uint256[])"
    answer = call(url, staking, signature, [request], [1], returns="(uint256[])")
    return int(answer[0][0])


def test_a_slash_lowers_the_share_price_for_everybody(chain: DevnetChain) -> None:
    url, staking = chain.anvil.rpc_url, chain.world.staking
    user = chain.world.accounts.exchange_hot
    send(url, user, staking, "submit(address)", ZERO, value=100 * ETHER)
    price = call_uint(url, staking, "getPooledEthByShares(uint256)", ETHER)
    pooled = call_uint(url, staking, "getTotalPooledEther()")
    loss = slash(url, chain.world, 1_000)
    assert abs(loss - pooled // 10) < ETHER // 1_000
    assert abs(call_uint(url, staking, "getTotalPooledEther()") - pooled + loss) < ETHER // 1_000
    after = call_uint(url, staking, "getPooledEthByShares(uint256)", ETHER)
    assert abs(after * 10 - price * 9) < ETHER // 10_000
    assert abs(outside.erc20_balance(url, staking, user) - 90 * ETHER) < ETHER // 1_000


def test_a_slash_reaches_a_request_that_waits_and_not_one_that_is_final(
    chain: DevnetChain,
) -> None:
    url, staking = chain.anvil.rpc_url, chain.world.staking
    user, request = chain.world.accounts.exchange_hot, "requestWithdrawals(uint256[],address)"
    send(url, user, staking, "submit(address)", ZERO, value=100 * ETHER)
    send(url, user, staking, "approve(address,uint256)", staking, 100 * ETHER)
    send(url, user, staking, request, [40 * ETHER], user)
    warp(url, DAY_S)
    send(url, user, staking, request, [40 * ETHER], user)
    slash(url, chain.world, 2_000)
    assert claimable(chain, 1) > 39 * ETHER
    warp(url, DAY_S)
    assert abs(claimable(chain, 2) - 32 * ETHER) < ETHER // 100


@pytest.mark.parametrize("bps", [0, -1, 10_000])
def test_a_slash_takes_something_and_not_all(chain: DevnetChain, bps: int) -> None:
    with pytest.raises(DevnetError, match="a slash of"):
        slash(chain.anvil.rpc_url, chain.world, bps)
