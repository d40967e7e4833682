"""A lending market of Compound V2's shape, as Venus's isolated pools have it (vToken).

Amounts are base units of the underlying, factors and rates times 1e18. A rate is a slot's, which is
a second or a block: `slots_per_year` says how many the market counts in a year. Source: Venus
isolated-pools VToken.sol, JumpRateModelV2.sol and Comptroller.sol.
"""

from dataclasses import dataclass

from chains.evm.address import checksum
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient

ACTION_MINT, ACTION_REDEEM = 0, 1
CAP_NONE = 2**256 - 1
_NUMBERS = (
    *("getCash()", "totalBorrows()", "totalReserves()", "badDebt()", "totalSupply()"),
    *("reserveFactorMantissa()", "accrualBlockNumber()", "getBlockNumberOrTimestamp()"),
    "blocksOrSecondsPerYear()",
)
_MODEL = ("baseRatePerBlock()", "multiplierPerBlock()", "jumpMultiplierPerBlock()", "kink()")


@dataclass(frozen=True, slots=True)
class JumpRate:
    """A borrow rate with two slopes: base and slopes a slot, the kink a utilisation."""

    base_wad: int
    multiplier_wad: int
    jump_multiplier_wad: int
    kink_wad: int


@dataclass(frozen=True, slots=True)
class VTokenMarket:
    """A market as its storage has it: interest is accrued up to `accrued_slot`, it is now `slot`.

    `supply_cap` 0 means that nothing may enter, None that there is no cap.
    """

    underlying: str
    cash: int
    borrows: int
    reserves: int
    bad_debt: int
    total_supply: int
    reserve_factor_wad: int
    accrued_slot: int
    slot: int
    slots_per_year: int
    rate: JumpRate
    supply_cap: int | None
    mint_paused: bool
    redeem_paused: bool
    holder_tokens: int


@dataclass(frozen=True, slots=True)
class VToken:
    """One market."""

    client: EvmClient
    address: str

    async def market(self, holder: str, block: At) -> VTokenMarket:
        """Raises RpcRefused where the contract is of Compound's own V2, which counts no slots."""
        names = ("underlying()", "interestRateModel()", "comptroller()")
        reads = [encode_call(n) for n in (*names, *_NUMBERS)]
        reads.append(encode_call("balanceOf(address)", holder))
        answers = await self.client.calls([(self.address, r) for r in reads], block)
        underlying, model, comptroller = (
            checksum(decode_answer(("address",), a)[0]) for a in answers[:3]
        )
        numbers = [decode_answer(("uint256",), a)[0] for a in answers[3:]]
        cap, mint_paused, redeem_paused = await self._limits(comptroller, block)
        return VTokenMarket(
            underlying=underlying,
            cash=numbers[0],
            borrows=numbers[1],
            reserves=numbers[2],
            bad_debt=numbers[3],
            total_supply=numbers[4],
            reserve_factor_wad=numbers[5],
            accrued_slot=numbers[6],
            slot=numbers[7],
            slots_per_year=numbers[8],
            rate=await self._rate(model, block),
            supply_cap=None if cap == CAP_NONE else cap,
            mint_paused=bool(mint_paused),
            redeem_paused=bool(redeem_paused),
            holder_tokens=numbers[9],
        )

    async def _rate(self, model: str, block: At) -> JumpRate:
        answers = await self.client.calls([(model, encode_call(n)) for n in _MODEL], block)
        return JumpRate(*(decode_answer(("uint256",), a)[0] for a in answers))

    async def _limits(self, comptroller: str, block: At) -> tuple[int, int, int]:
        paused = "actionPaused(address,uint8)"
        reads = [
            encode_call("supplyCaps(address)", self.address),
            encode_call(paused, self.address, ACTION_MINT),
            encode_call(paused, self.address, ACTION_REDEEM),
        ]
        answers = await self.client.calls([(comptroller, r) for r in reads], block)
        cap, mint_paused, redeem_paused = (decode_answer(("uint256",), a)[0] for a in answers)
        return cap, mint_paused, redeem_paused
