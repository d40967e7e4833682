"""Who acts on the devnet's markets in these tests: the whale pays, HOLDER has the position."""

from fractions import Fraction

from chains.devnet.rpc import send
from chains.devnet.world import DevnetChain
from chains.evm.address import checksum
from chains.evm.client import EvmClient
from chains.types import BlockRef
from router.curves import RAY, YEAR_S

UNIT = 10**6
TOLERANCE = Fraction(1, 10**6)
HOLDER = checksum("0x" + "5a" * 20)


async def head(client: EvmClient) -> BlockRef:
    return await client.block("latest")


def whale_pays(chain: DevnetChain, spender: str, amount: int) -> str:
    """The whale lets `spender` take so much USDC; the whale's address."""
    whale, usdc = chain.world.accounts.whale, chain.world.tokens["USDC"].address
    send(chain.anvil.rpc_url, whale, usdc, "approve(address,uint256)", spender, amount)
    return whale


def deposit(chain: DevnetChain, vault: str, amount: int, receiver: str = HOLDER) -> None:
    """Into an ERC-4626 vault."""
    whale = whale_pays(chain, vault, amount)
    signature = "deposit(uint256,address)"
    send(chain.anvil.rpc_url, whale, vault, signature, amount, receiver)


def close(predicted_ray: int, rate: Fraction, tolerance: Fraction = TOLERANCE) -> None:
    """`rate` is a yearly part of one. The message says how far off it is."""
    error = abs(Fraction(predicted_ray, RAY) / rate - 1)
    assert error <= tolerance, f"relative error {float(error):.2e}"


def yearly(before: int, after: int, start: BlockRef, end: BlockRef) -> Fraction:
    return Fraction((after - before) * YEAR_S, before * (end.timestamp - start.timestamp))
