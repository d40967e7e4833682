"""What the same money would have earned elsewhere in the same month: plain accounts on the chain.

One a venue that stays there (the venues do not touch each other, so all run at once), and one that
moves everything, every day, to where the displayed rate is highest. They pay no gas that counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from chains.devnet.outside import send_usdc
from chains.devnet.rpc import DevnetError, call_uint, rpc, send
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain
from chains.evm.address import checksum
from chains.evm.client import EvmClient
from router.curves import rate_ray_down
from router.venues.aave import AaveVenue
from router.venues.erc4626 import VaultVenue
from router.venues.metamorpho import MetaMorphoVenue
from router.venues.port import Venue
from tests.router.month.acts import act
from tests.router.month.script import DAY_H, Script

HOUR_S = 3_600
VENUES = ("aave-usdc", "metamorpho-usdc", "vault-usdc")
LEAST = 10**6
"""Crumbs of interest are not moved."""


@dataclass(frozen=True)
class Account:
    """An outsider with USDC."""

    chain: DevnetChain
    address: str

    @classmethod
    def new(cls, chain: DevnetChain, number: int, amount: int) -> "Account":
        address = checksum(f"0x{0xACC0 + number:040x}")
        rpc(chain.anvil.rpc_url, "anvil_impersonateAccount", address)
        rpc(chain.anvil.rpc_url, "anvil_setBalance", address, hex(10**20))
        send_usdc(chain.anvil.rpc_url, chain.world, address, amount)
        return cls(chain, address)

    @property
    def usdc(self) -> str:
        return self.chain.world.tokens["USDC"].address

    def idle(self) -> int:
        return self._balance(self.usdc)

    def worth(self) -> int:
        return self.idle() + sum(self.position(v) for v in VENUES)

    def position(self, venue: str) -> int:
        token = token_of(self.chain, venue)
        held = self._balance(token)
        if venue == "aave-usdc" or held == 0:
            return held
        return call_uint(self.chain.anvil.rpc_url, token, "convertToAssets(uint256)", held)

    def enter(self, venue: str, amount: int) -> bool:
        """False if the venue does not take it."""
        world = self.chain.world
        direct = venue == "aave-usdc"
        target = world.aave.pool if direct else token_of(self.chain, venue)
        self._send(self.usdc, "approve(address,uint256)", target, amount)
        try:
            if direct:
                signature = "supply(address,uint256,address,uint16)"
                self._send(target, signature, self.usdc, amount, self.address, 0)
            else:
                self._send(target, "deposit(uint256,address)", amount, self.address)
        except DevnetError:
            return False
        return True

    def leave(self, venue: str) -> bool:
        """With all that can leave; False if nothing can."""
        world, url = self.chain.world, self.chain.anvil.rpc_url
        token = token_of(self.chain, venue)
        try:
            if venue == "aave-usdc":
                free = self._balance_of(self.usdc, token)
                most = 2**256 - 1 if free >= self.position(venue) else free
                self._send(
                    world.aave.pool, "withdraw(address,uint256,address)", self.usdc, most,
                    self.address,
                )  # fmt: skip
                return True
            shares = call_uint(url, token, "maxRedeem(address)", self.address)
            redeem = "redeem(uint256,address,address)"
            self._send(token, redeem, shares, self.address, self.address)
        except DevnetError:
            return False
        return True

    def _balance(self, token: str) -> int:
        return self._balance_of(token, self.address)

    def _balance_of(self, token: str, who: str) -> int:
        return call_uint(self.chain.anvil.rpc_url, token, "balanceOf(address)", who)

    def _send(self, to: str, signature: str, *args: int | str) -> None:
        send(self.chain.anvil.rpc_url, self.address, to, signature, *args)


def token_of(chain: DevnetChain, venue: str) -> str:
    world = chain.world
    return {
        "aave-usdc": world.aave.reserves["USDC"].a_token,
        "metamorpho-usdc": world.morpho.vault,
        "vault-usdc": world.vault_usdc,
    }[venue]


def singles(chain: DevnetChain, script: Script) -> dict[str, int]:
    """What each venue's account has earned by the end of the month."""
    accounts = {v: Account.new(chain, i, script.capital) for i, v in enumerate(VENUES)}
    for hour in passing(chain, script):
        if hour == 0:
            for venue, account in accounts.items():
                assert account.enter(venue, script.capital), venue
    return {venue: a.worth() - script.capital for venue, a in accounts.items()}


async def greedy(chain: DevnetChain, script: Script) -> int:
    """What the account that runs after the highest rate has earned."""
    account = Account.new(chain, len(VENUES), script.capital)
    client = EvmClient(chain.world.chain_id, [chain.anvil.rpc_url])
    for hour in passing(chain, script):
        if hour % DAY_H == 0:
            await _chase(account, client)
    await client.close()
    return account.worth() - script.capital


def passing(chain: DevnetChain, script: Script) -> Iterator[int]:
    """Each hour of the script, when the time has come and its events have happened."""
    before = 0
    for hour in script.hours:
        if hour > before:
            warp(chain.anvil.rpc_url, (hour - before) * HOUR_S)
        for event in script.at(hour):
            act(chain, event)
        before = hour
        yield hour


async def _chase(account: Account, client: EvmClient) -> None:
    """Into the best of those that take it, out of all others."""
    rates = await displayed(account, client)
    for best in sorted(rates, key=lambda v: -rates[v]):
        here = account.position(best) > LEAST
        if not here and not await _takes(account, client, best):
            continue
        for venue in VENUES:
            if venue != best and account.position(venue) > LEAST:
                account.leave(venue)
        idle = account.idle()
        if idle <= LEAST or account.enter(best, idle):
            return


async def _takes(account: Account, client: EvmClient, venue: str) -> bool:
    """Whether it is open at all: one does not leave for a closed door."""
    state = await _adapters(account, client)[venue].read(await client.block("latest"))
    return "inactive" not in state.refusal


async def displayed(account: Account, client: EvmClient) -> dict[str, int]:
    """Each venue's rate as anybody sees it now, in ray."""
    block = await client.block("latest")
    found = {}
    for venue, port in _adapters(account, client).items():
        state = await port.read(block)
        found[venue] = rate_ray_down(state.curve, state.position)
    return found


def _adapters(account: Account, client: EvmClient) -> dict[str, Venue]:
    world, me, usdc = account.chain.world, account.address, account.usdc
    aave_token, morpho, pot = (token_of(account.chain, v) for v in VENUES)
    return {
        "aave-usdc": AaveVenue(client, world.aave.pool, usdc, aave_token, me),
        "metamorpho-usdc": MetaMorphoVenue(client, morpho, usdc, me),
        "vault-usdc": VaultVenue(client, pot, usdc, me),
    }
