"""Aave V3 Pool: one reserve's state at one block, and the calls of a direct supplier.

Rates are ray (27 decimals) a year of 365 days, simple. Written for Aave V3.4 and later: one rate
strategy for all reserves, virtual balances, variable debt only. Source of the layouts:
aave-v3-origin DataTypes.sol (ReserveDataLegacy) and ReserveConfiguration.sol (bit positions).
"""

from dataclasses import dataclass
from typing import Any, Final

from chains.evm.address import checksum
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient

RAY: Final = 10**27
SUPPLY = "supply(address,uint256,address,uint16)"
WITHDRAW = "withdraw(address,uint256,address)"
_RESERVE_DATA = (
    *("uint256", "uint128", "uint128", "uint128", "uint128", "uint128", "uint40", "uint16"),
    *("address", "address", "address", "address", "uint128", "uint128", "uint128"),
)
_RATE_DATA = ("uint256",) * 4


def encode_supply(asset: str, amount: int, on_behalf_of: str) -> bytes:
    return encode_call(SUPPLY, asset, amount, on_behalf_of, 0)


def encode_withdraw(asset: str, amount: int, to: str) -> bytes:
    """2^256-1 withdraws everything."""
    return encode_call(WITHDRAW, asset, amount, to)


@dataclass(frozen=True, slots=True)
class RateStrategy:
    """The kinked model of the variable borrow rate; all ray."""

    optimal_usage_ray: int
    base_ray: int
    slope1_ray: int
    slope2_ray: int


@dataclass(frozen=True, slots=True)
class AaveReserve:
    """A reserve at one block: all that its supply rate and its limits follow from.

    `available` is the pool's own count of the underlying in the aToken, so what can be withdrawn at
    once: what somebody sends there uncalled for does not count. `total_supplied` is what the supply
    cap is held against: aTokens and what the treasury may still mint. `supply_cap` is base units,
    0 is no cap. `total_debt` is base units, interest to the block included.
    """

    asset: str
    a_token: str
    variable_debt_token: str
    liquidity_rate_ray: int
    variable_borrow_rate_ray: int
    liquidity_index_ray: int
    last_update_s: int
    available: int
    total_debt: int
    total_supplied: int
    reserve_factor_bps: int
    decimals: int
    supply_cap: int
    active: bool
    frozen: bool
    paused: bool
    strategy: RateStrategy


@dataclass(frozen=True, slots=True)
class AavePool:
    """The Pool contract of one market."""

    client: EvmClient
    address: str

    async def reserve(self, asset: str, block: At) -> AaveReserve:
        """Raises UndecodableAnswer if the market does not list the asset."""
        raw = await self.client.call(self.address, encode_call("getReserveData(address)", asset), block)
        words = decode_answer(_RESERVE_DATA, raw)
        a_token, debt_token, strategy = (checksum(words[at]) for at in (8, 10, 11))
        targets = [
            (self.address, encode_call("getVirtualUnderlyingBalance(address)", asset)),
            (debt_token, encode_call("totalSupply()")),
            (a_token, encode_call("totalSupply()")),
            (self.address, encode_call("getReserveNormalizedIncome(address)", asset)),
            (strategy, encode_call("getInterestRateData(address)", asset)),
        ]
        *answers, rates = await self.client.calls(targets, block)
        numbers = [decode_answer(("uint256",), answer)[0] for answer in answers]
        return _reserve(asset, words, numbers, RateStrategy(*decode_answer(_RATE_DATA, rates)))

    async def normalized_income(self, asset: str, block: At) -> int:
        """The liquidity index at this block, ray: what one scaled unit is worth."""
        data = encode_call("getReserveNormalizedIncome(address)", asset)
        index: int = decode_answer(
            ("uint256",), await self.client.call(self.address, data, block)
        )[0]
        return index

    async def a_token_balance(self, a_token: str, holder: str, block: At) -> int:
        """The position of a holder in base units, interest to the block included."""
        return await self.client.erc20_balance(a_token, holder, block)


def _reserve(
    asset: str, words: tuple[Any, ...], numbers: list[int], strategy: RateStrategy
) -> AaveReserve:
    available, total_debt, a_tokens, index_ray = numbers
    treasury_up = -(-words[12] * index_ray // RAY)
    bits: int = words[0]
    decimals = _bits(bits, 48, 8)
    return AaveReserve(
        asset=asset,
        a_token=checksum(words[8]),
        variable_debt_token=checksum(words[10]),
        liquidity_index_ray=words[1],
        liquidity_rate_ray=words[2],
        variable_borrow_rate_ray=words[4],
        last_update_s=words[6],
        available=available,
        total_debt=total_debt,
        total_supplied=a_tokens + treasury_up,
        reserve_factor_bps=_bits(bits, 64, 16),
        decimals=decimals,
        supply_cap=_bits(bits, 116, 36) * 10**decimals,
        active=bool(_bits(bits, 56, 1)),
        frozen=bool(_bits(bits, 57, 1)),
        paused=bool(_bits(bits, 60, 1)),
        strategy=strategy,
    )


def _bits(word: int, at: int, width: int) -> int:
    return word >> at & (1 << width) - 1
