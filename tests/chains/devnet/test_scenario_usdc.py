"""What USDC's issuer can do, on the real token. Kind: integration."""

import pytest

from chains.devnet import outside
from chains.devnet.rpc import DevnetError, send
from chains.devnet.scenario import usdc
from chains.devnet.world import DevnetChain

pytestmark = pytest.mark.chain

TRANSFER = "transfer(address,uint256)"
STRANGER = "0x" + "5c" * 20


def pay(chain: DevnetChain, sender: str, recipient: str) -> None:
    send(chain.anvil.rpc_url, sender, chain.world.tokens["USDC"].address, TRANSFER, recipient, 7)


def balance(chain: DevnetChain, holder: str) -> int:
    token = chain.world.tokens["USDC"].address
    return outside.erc20_balance(chain.anvil.rpc_url, token, holder)


def test_a_blacklisted_account_neither_sends_nor_receives(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    whale, listed = world.accounts.whale, world.accounts.exchange_hot
    pay(chain, whale, listed)
    usdc.blacklist(url, world, listed)
    for sender, recipient in ((whale, listed), (listed, whale)):
        with pytest.raises(DevnetError, match="account is blacklisted"):
            pay(chain, sender, recipient)
    pay(chain, whale, STRANGER)
    usdc.unblacklist(url, world, listed)
    pay(chain, listed, whale)
    assert (balance(chain, listed), balance(chain, STRANGER)) == (0, 7)


def test_a_pause_stops_everybody(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    usdc.pause(url, world)
    with pytest.raises(DevnetError, match="Pausable: paused"):
        pay(chain, world.accounts.whale, STRANGER)
    usdc.unpause(url, world)
    pay(chain, world.accounts.whale, STRANGER)
    assert balance(chain, STRANGER) == 7
