"""AaveOracle: an asset's price in the oracle's base currency, at one block.

USD deployments have the zero address as base currency and 10^8 as its unit. Source:
aave-v3-origin AaveOracle.sol.
"""

from dataclasses import dataclass

from chains.errors import UndecodableAnswer
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient

PRICE = "getAssetPrice(address)"
CURRENCY = "BASE_CURRENCY()"
UNIT = "BASE_CURRENCY_UNIT()"
USD = "0x" + "0" * 40


@dataclass(frozen=True, slots=True)
class OraclePrice:
    """`value / 10**scale` US dollars for one whole token."""

    value: int
    scale: int


async def price_usd(client: EvmClient, oracle: str, token: str, block: At) -> OraclePrice:
    """Raises ChainError where the oracle has no price, or is not one in US dollars."""
    asked = [encode_call(PRICE, token), encode_call(CURRENCY), encode_call(UNIT)]
    answers = await client.calls([(oracle, data) for data in asked], block)
    types = ("uint256", "address", "uint256")
    value, currency, unit = (
        decode_answer((t,), a)[0] for t, a in zip(types, answers, strict=True)
    )
    scale = len(str(unit)) - 1
    if currency != USD or unit != 10**scale:
        raise UndecodableAnswer("not an oracle in US dollars", oracle=oracle, unit=unit)
    if value == 0:
        raise UndecodableAnswer("the oracle has no price", oracle=oracle, token=token)
    return OraclePrice(value, scale)
