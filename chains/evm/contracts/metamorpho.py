"""MetaMorpho: an ERC-4626 vault that lends on Morpho Blue by two queues of markets.

Source: metamorpho MetaMorpho.sol. Deposits fill the supply queue up to each market's cap, what is
withdrawn comes from the withdraw queue as far as each market has it.
"""

from dataclasses import dataclass

from chains.evm.address import checksum
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient

_CONFIG = ("uint184", "bool", "uint64")


@dataclass(frozen=True, slots=True)
class MetaMorphoState:
    """`caps` by market id; a market that is only in the withdraw queue may have a cap of 0.

    `last_total_assets` is what the fee has been taken from; `offset` the decimals that shares have
    more than assets.
    """

    asset: str
    blue: str
    fee_wad: int
    total_supply: int
    last_total_assets: int
    offset: int
    holder_shares: int
    supply_queue: tuple[str, ...]
    withdraw_queue: tuple[str, ...]
    caps: dict[str, int]


@dataclass(frozen=True, slots=True)
class MetaMorpho:
    """One vault."""

    client: EvmClient
    address: str

    async def state(self, holder: str, block: At) -> MetaMorphoState:
        reads = [
            encode_call("asset()"),
            encode_call("MORPHO()"),
            encode_call("fee()"),
            encode_call("totalSupply()"),
            encode_call("lastTotalAssets()"),
            encode_call("DECIMALS_OFFSET()"),
            encode_call("balanceOf(address)", holder),
            encode_call("supplyQueueLength()"),
            encode_call("withdrawQueueLength()"),
        ]
        answers = await self.client.calls([(self.address, r) for r in reads], block)
        asset, blue = (checksum(decode_answer(("address",), a)[0]) for a in answers[:2])
        numbers = [decode_answer(("uint256",), a)[0] for a in answers[2:]]
        supply_queue = await self._queue("supplyQueue", numbers[5], block)
        withdraw_queue = await self._queue("withdrawQueue", numbers[6], block)
        caps = await self._caps({*supply_queue, *withdraw_queue}, block)
        return MetaMorphoState(
            asset=asset,
            blue=blue,
            fee_wad=numbers[0],
            total_supply=numbers[1],
            last_total_assets=numbers[2],
            offset=numbers[3],
            holder_shares=numbers[4],
            supply_queue=supply_queue,
            withdraw_queue=withdraw_queue,
            caps=caps,
        )

    async def _queue(self, name: str, length: int, block: At) -> tuple[str, ...]:
        reads = [(self.address, encode_call(f"{name}(uint256)", at)) for at in range(length)]
        answers = await self.client.calls(reads, block)
        return tuple("0x" + decode_answer(("bytes32",), a)[0].hex() for a in answers)

    async def _caps(self, market_ids: set[str], block: At) -> dict[str, int]:
        ids = sorted(market_ids)
        reads = [(self.address, encode_call("config(bytes32)", bytes.fromhex(i[2:]))) for i in ids]
        answers = await self.client.calls(reads, block)
        return {i: decode_answer(_CONFIG, a)[0] for i, a in zip(ids, answers, strict=True)}
