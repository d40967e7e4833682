"""Morpho Blue: isolated lending markets in one contract, each named by a bytes32 (0x hex here).

Amounts are base units of the market's loan token, shares Morpho's own. Source: morpho-blue
IMorpho.sol (order of the fields) and Morpho.sol.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chains.evm.address import checksum
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient
from chains.evm.contracts.adaptive_curve_irm import AdaptiveCurveIrm

MARKET = "market(bytes32)"
PARAMS = "idToMarketParams(bytes32)"
POSITION = "position(bytes32,address)"
_MARKET = ("uint128",) * 6
_PARAMS = ("address", "address", "address", "address", "uint256")
_POSITION = ("uint256", "uint128", "uint128")


@dataclass(frozen=True, slots=True)
class MorphoMarket:
    """A market as of `last_update_s`, when interest was accrued last.

    `fee_wad` is the protocol's part of the interest; `rate_at_target_wad` a second, of the adaptive
    curve. `own_shares` are the supply shares of the holder who was asked about.
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
        found: dict[str, MorphoMarket] = {}
        for at, id_ in enumerate(market_ids):
            market = _market(id_, *answers[3 * at : 3 * at + 3])
            model = AdaptiveCurveIrm(self.client, market.irm)
            rate = (await model.rates_at_target([id_], block))[0]
            found[id_] = replace(market, rate_at_target_wad=rate)
        return found


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

