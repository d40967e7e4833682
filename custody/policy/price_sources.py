"""The on-chain price source, and the job that asks every source and keeps what it says."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chains.errors import ChainError
from chains.evm.client import EvmClient
from chains.evm.contracts import aave_oracle
from custody.core.clock import Clock, from_timestamp
from custody.core.db import Database
from custody.core.isolation import each
from custody.core.money import AssetId
from custody.core.ports import PriceSource, PriceUnavailable
from custody.core.prices import Price
from custody.policy import reference

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OracleFeed:
    """Where an asset's price is on chain. `token` is who it is there: WETH for a native coin.

    `decimals` are the asset's own.
    """

    chain_id: int
    oracle: str
    token: str
    decimals: int


class OracleSource:
    """PriceSource over Aave's oracles, read at the newest block."""

    def __init__(
        self,
        clients: Mapping[int, EvmClient],
        feeds: Mapping[AssetId, OracleFeed],
        clock: Clock,
    ) -> None:
        self._clients, self._feeds, self._clock = clients, feeds, clock

    async def price(self, asset_id: AssetId) -> Price:
        """As of the block's time; a block that is ahead of our clock was read now.

        Raises PriceUnavailable.
        """
        feed = self._feeds.get(asset_id)
        if feed is None:
            raise PriceUnavailable(f"no oracle for {asset_id}")
        client = self._clients[feed.chain_id]
        try:
            block = await client.block("latest")
            found = await aave_oracle.price_usd(client, feed.oracle, feed.token, block)
        except ChainError as error:
            raise PriceUnavailable(f"oracle: {error.detail}") from error
        return Price(
            asset_id,
            "USD",
            found.value,
            found.scale + feed.decimals,
            f"oracle:{feed.chain_id}/{feed.oracle.lower()}",
            min(from_timestamp(block.timestamp), self._clock.now()),
            block.number,
        )


@dataclass(frozen=True, slots=True)
class Feed:
    """One source to be asked about one asset."""

    asset_id: AssetId
    source: PriceSource


async def step(db: Database, clock: Clock, feeds: Sequence[Feed]) -> int:
    """Ask all, outside any transaction; how many quotes were kept.

    A source that does not answer leaves its last quote to grow stale.
    """

    async def one(feed: Feed) -> bool:
        try:
            price = await feed.source.price(feed.asset_id)
        except PriceUnavailable as error:
            logger.warning("no price", extra={"asset": feed.asset_id, "error": error})
            return False
        async with db.write() as s:
            await reference.put(s, price, at=clock.now())
        return True

    return await each(logger, "price", feeds, one)
