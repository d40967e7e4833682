"""Aave V3 Pool: one reserve's state at one block, and the calls of a direct supplier.

Rates are ray (27 decimals) a year of 365 days, simple. Source of the layouts: aave-v3-core
DataTypes.sol (ReserveData) and ReserveConfiguration.sol (bit positions).
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
_STRATEGY = (
    "OPTIMAL_USAGE_RATIO()",
    "getBaseVariableBorrowRate()",
    "getVariableRateSlope1()",
    "getVariableRateSlope2()",
)


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

    `available` is the underlying that lies in the aToken, so what can be withdrawn at once.
    `supply_cap` is base units, 0 is no cap. Debts are base units, interest to the block included.
    """

    asset: str
    a_token: str
    variable_debt_token: str
    stable_debt_token: str
    strategy_address: str
    liquidity_rate_ray: int
    variable_borrow_rate_ray: int
    liquidity_index_ray: int
    last_update_s: int
    available: int
    total_variable_debt: int
    total_stable_debt: int
    total_supplied: int
    unbacked: int
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
        a_token, stable, variable, strategy = (checksum(a) for a in words[8:12])
        supply = encode_call("totalSupply()")
        targets = [(asset, encode_call("balanceOf(address)", a_token))]
        targets += [(token, supply) for token in (variable, stable, a_token)]
        targets += [(strategy, encode_call(s)) for s in _STRATEGY]
        answers = await self.client.calls(targets, block)
        numbers = [decode_answer(("uint256",), a)[0] for a in answers]
        return _reserve(asset, words, numbers)

    async def a_token_balance(self, a_token: str, holder: str, block: At) -> int:
        """The position of a holder in base units, interest to the block included."""
        return await self.client.erc20_balance(a_token, holder, block)


def _reserve(asset: str, words: tuple[Any, ...], numbers: list[int]) -> AaveReserve:
    bits: int = words[0]
    decimals = _bits(bits, 48, 8)
    return AaveReserve(
        asset=asset,
        a_token=checksum(words[8]),
        stable_debt_token=checksum(words[9]),
        variable_debt_token=checksum(words[10]),
        strategy_address=checksum(words[11]),
        liquidity_index_ray=words[1],
        liquidity_rate_ray=words[2],
        variable_borrow_rate_ray=words[4],
        last_update_s=words[6],
        available=numbers[0],
        total_variable_debt=numbers[1],
        total_stable_debt=numbers[2],
        total_supplied=numbers[3],
        unbacked=words[13],
        reserve_factor_bps=_bits(bits, 64, 16),
        decimals=decimals,
        supply_cap=_bits(bits, 116, 36) * 10**decimals,
        active=bool(_bits(bits, 56, 1)),
        frozen=bool(_bits(bits, 57, 1)),
        paused=bool(_bits(bits, 60, 1)),
        strategy=RateStrategy(*numbers[4:8]),
    )


def _bits(word: int, at: int, width: int) -> int:
    return word >> at & (1 << width) - 1
