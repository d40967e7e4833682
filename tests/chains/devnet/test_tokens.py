"""The world's tokens: USDC's roles at work, and the tokens that misbehave."""

import pytest

from chains.devnet import outside
from chains.devnet.rpc import DevnetError, call_uint, encode_call, rpc, send
from chains.devnet.world import DevnetChain

pytestmark = pytest.mark.chain

UNIT, ETHER = 10**6, 10**18
TO = "0x" + "a1" * 20
TRANSFER = "transfer(address,uint256)"


def test_usdc_can_be_paused_and_holders_blacklisted(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    usdc, roles, whale = world.tokens["USDC"].address, world.usdc_roles, world.accounts.whale
    stops = (
        (roles.pauser, "pause()", (), "unpause()"),
        (roles.blacklister, "blacklist(address)", (TO,), "unBlacklist(address)"),
    )
    for who, stop, args, undo in stops:
        with pytest.raises(DevnetError):
            send(url, whale, usdc, stop, *args)
        send(url, who, usdc, stop, *args)
        with pytest.raises(DevnetError):
            send(url, whale, usdc, TRANSFER, TO, UNIT)
        send(url, who, usdc, undo, *args)
        send(url, whale, usdc, TRANSFER, TO, UNIT)
    assert outside.erc20_balance(url, usdc, TO) == 2 * UNIT


def test_usdc_is_minted_by_its_minter_and_roles_pass_on(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    usdc, roles = world.tokens["USDC"].address, world.usdc_roles
    send(url, roles.minter, usdc, "mint(address,uint256)", TO, 5 * UNIT)
    assert outside.erc20_balance(url, usdc, TO) == 5 * UNIT
    send(url, roles.owner, usdc, "updatePauser(address)", world.accounts.collector)
    send(url, roles.master_minter, usdc, "removeMinter(address)", roles.minter)
    with pytest.raises(DevnetError):
        send(url, roles.minter, usdc, "mint(address,uint256)", TO, UNIT)
    send(url, world.accounts.collector, usdc, "pause()")


def test_less_arrives_than_was_sent(chain: DevnetChain) -> None:
    """Property 23."""
    url, world = chain.anvil.rpc_url, chain.world
    token = world.odd_tokens.fee_on_transfer.address
    send(url, world.accounts.whale, token, TRANSFER, TO, 100 * ETHER)
    assert outside.erc20_balance(url, token, TO) == 99 * ETHER


def test_a_balance_changes_without_a_transfer(chain: DevnetChain) -> None:
    """Property 23."""
    url, world = chain.anvil.rpc_url, chain.world
    token, whale = world.odd_tokens.rebasing.address, world.accounts.whale
    send(url, whale, token, TRANSFER, TO, 100 * ETHER)
    supply = call_uint(url, token, "totalSupply()")
    receipt = send(url, whale, token, "rebase(uint256)", supply // 2)
    assert outside.erc20_balance(url, token, TO) == 50 * ETHER
    assert len(receipt["logs"]) == 1  # and none of them is a Transfer


def test_nothing_comes_back_from_a_transfer(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    token, whale = world.odd_tokens.no_return.address, world.accounts.whale
    data = encode_call(TRANSFER, TO, ETHER)
    assert rpc(url, "eth_call", {"from": whale, "to": token, "data": data}, "latest") == "0x"
    send(url, whale, token, TRANSFER, TO, ETHER)
    assert outside.erc20_balance(url, token, TO) == ETHER


def test_staked_ether_is_wrapped_slashed_and_asked_back(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    user, staking, wrapper = world.accounts.exchange_hot, world.staking, world.wrapped_staking
    send(url, user, staking, "submit(address)", user, value=30 * ETHER)
    send(url, user, staking, "approve(address,uint256)", wrapper, 10 * ETHER)
    send(url, user, wrapper, "wrap(uint256)", 10 * ETHER)
    wrapped = outside.erc20_balance(url, wrapper, user)
    send(url, user, staking, "approve(address,uint256)", staking, 20 * ETHER - 10)
    send(url, user, staking, "requestWithdrawals(uint256[],address)", [20 * ETHER - 10], user)
    request = call_uint(url, staking, "getLastRequestId()")
    pooled = call_uint(url, staking, "getTotalPooledEther()")
    send(url, user, staking, "handleOracleReport(uint256)", pooled * 9 // 10)
    worth = call_uint(url, wrapper, "getStETHByWstETH(uint256)", wrapped)
    assert 9 * ETHER - 10**12 < worth < 9 * ETHER + 10**15
    send(url, user, staking, "finalize(uint256)", request)
    before = outside.eth_balance(url, user)
    send(url, user, staking, "claimWithdrawal(uint256)", request)
    assert 17_900 <= (outside.eth_balance(url, user) - before) * 1_000 // ETHER <= 18_001
