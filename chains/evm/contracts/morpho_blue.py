"""Morpho Blue: isolated lending markets in one contract, each named by a bytes32 (0x hex here).

Amounts are base units of the market's loan token, shares Morpho's own. Source: morpho-blue
IMorpho.sol (order of the fields) and Morpho.sol, morpho-blue-irm AdaptiveCurveIrm.sol.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chains.evm.address import ZERO_ADDRESS, checksum
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient

MARKET = "market(bytes32)"
PARAMS = "idToMarketParams(bytes32)"
POSITION = "position(bytes32,address)"
RATE_AT_TARGET = "rateAtTarget(bytes32)"
_MARKET = ("uint128",) * 6
_PARAMS = ("address", "address", "address", "address", "uint256")
_POSITION = ("uint256", "uint128", "uint128")


@dataclass(frozen=True, slots=True)
class MorphoMarket:
    """A market as of `last_update_s`, when interest was accrued last.

    `fee_wad` is the protocol's part of the interest; `rate_at_target_wad` a second, of the adaptive
    curve, 0 before the first accrual. `irm` is ZERO_ADDRESS where nobody pays interest, as in the
    market in which a vault lets money lie idle. `own_shares` are the supply shares of the holder
    who was asked about.
    """

    id: str
    loan_token: str
    collateral_token: str
    oracle: str
    irm: str
    lltv_wad: int
    supply_assets: int
    supply_shares: int
    borrow_assets: int
    borrow_shares: int
    last_update_s: int
    fee_wad: int
    rate_at_target_wad: int
    own_shares: int


@dataclass(frozen=True, slots=True)
class MorphoBlue:
    """The singleton of a chain."""

    client: EvmClient
    address: str

    async def markets(
        self, market_ids: Sequence[str], holder: str, block: At
    ) -> dict[str, MorphoMarket]:
        """By id. Raises RpcRefused or UndecodableAnswer if one has another interest rate model."""
        targets = []
        for id_ in market_ids:
            word = bytes.fromhex(id_[2:])
            targets += [
                (self.address, encode_call(PARAMS, word)),
                (self.address, encode_call(MARKET, word)),
                (self.address, encode_call(POSITION, word, holder)),
            ]
        answers = await self.client.calls(targets, block)
        found = [_market(id_, *answers[3 * at : 3 * at + 3]) for at, id_ in enumerate(market_ids)]
        rates = await self._rates_at_target([m for m in found if m.irm != ZERO_ADDRESS], block)
        return {m.id: replace(m, rate_at_target_wad=rates.get(m.id, 0)) for m in found}

    async def _rates_at_target(self, markets: Sequence[MorphoMarket], block: At) -> dict[str, int]:
        reads = [(m.irm, encode_call(RATE_AT_TARGET, bytes.fromhex(m.id[2:]))) for m in markets]
        answers = await self.client.calls(reads, block)
        return {
            m.id: decode_answer(("int256",), a)[0] for m, a in zip(markets, answers, strict=True)
        }


def _market(id_: str, params: bytes, totals: bytes, position: bytes) -> MorphoMarket:
    loan, collateral, oracle, irm, lltv_wad = decode_answer(_PARAMS, params)
    supplied, supply_shares, borrowed, borrow_shares, updated_s, fee_wad = decode_answer(
        _MARKET, totals
    )
    return MorphoMarket(
        id=id_,
        loan_token=checksum(loan),
        collateral_token=checksum(collateral),
        oracle=checksum(oracle),
        irm=checksum(irm),
        lltv_wad=lltv_wad,
        supply_assets=supplied,
        supply_shares=supply_shares,
        borrow_assets=borrowed,
        borrow_shares=borrow_shares,
        last_update_s=updated_s,
        fee_wad=fee_wad,
        rate_at_target_wad=0,
        own_shares=decode_answer(_POSITION, position)[0],
    )
