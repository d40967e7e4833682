"""Ordinary and contracts' payments, blocks, sweeps, reorgs and looks in any order."""

import os
import random
from collections import Counter

import pytest

from chains.devnet import outside
from chains.devnet.scenario import chain
from custody.core.ids import CustomerId
from tests.fixtures.town import CONFIRMATIONS, ETHER, Town
from tests.flows.inside import breaks, deposits, look, pay_inside, submit_inside, with_traces

pytestmark = [pytest.mark.chain, pytest.mark.timeout(300)]

SEQUENCES = 40 if os.environ.get("MOORAGE_DEEP") else 2
SEED = int(os.environ.get("MOORAGE_SEED", "1")) * 1_000
ACTS = ("ordinary", "inside", "several", "one block", "mine", "look", "sweep", "reorg")


class Sequence:
    """Three customers, each with an address; what is done is drawn from a seed."""

    def __init__(self, town: Town, seed: int) -> None:
        self.town, self.url = town, town.anvil.rpc_url
        self.random = random.Random(seed)
        self.customers: dict[str, CustomerId] = {}
        self.done: Counter[str] = Counter()

    async def begin(self) -> None:
        for name in ("alice", "bob", "carol"):
            customer = await self.town.customer(name)
            self.customers[await self.town.address(customer, 0)] = customer
        await self.town.step_all(mine=8)

    def wei(self) -> int:
        return self.random.choice((1, 7, 10**9, ETHER)) * self.random.randint(1, 9)

    def one(self) -> str:
        return self.random.choice(list(self.customers))

    async def act(self, name: str) -> None:
        self.done[name] += 1
        match name:
            case "ordinary":
                self.town.mined(outside.send_eth(self.url, self.one(), self.wei()))
            case "inside":
                pay_inside(self.town, (self.one(), self.wei()))
            case "several":
                pay_inside(self.town, *[(self.one(), self.wei()) for _ in range(4)])
            case "one block":
                with chain.held(self.url):
                    address = self.one()
                    sent = [outside.send_eth(self.url, address, self.wei())]
                    sent.append(submit_inside(self.town, [(address, self.wei())]))
                for tx in sent:
                    self.town.mined(tx)
            case "mine":
                self.town.anvil.mine(self.random.randint(1, 9))
            case "look":
                await look(self.town, mine=self.random.randint(0, CONFIRMATIONS))
            case "sweep":
                await self.town.sweep()
                await self.town.step_all()
            case "reorg":
                await self.town.step_all(mine=0)
                chain.reorg(self.url, self.random.randint(1, CONFIRMATIONS + 4), chain.Fate.MINED)

    async def settle_down(self) -> None:
        for _ in range(5):
            await self.town.step_all(mine=CONFIRMATIONS)
        while await look(self.town):
            pass

    async def swept(self) -> int:
        """Wei that left the addresses: what the treasury got, and the fees, by the chain itself."""
        async with self.town.db.read() as s:
            sent = await s.all("SELECT tx_hash FROM intents WHERE state = 'final'")
        receipts = [await self.town.client.receipt(row.tx_hash) for row in sent]
        treasury = (await self.town.role("treasury")).address
        fees = sum(r.fee for r in receipts if r is not None)
        return outside.eth_balance(self.url, treasury) + fees


@pytest.mark.parametrize("number", range(SEQUENCES))
async def test_the_sum_of_what_is_credited_is_what_the_addresses_got(
    town: Town, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Properties 21, 24 and 26: nothing that contracts sent is missed, nothing credited twice."""
    with_traces(town, False)
    sequence = Sequence(town, SEED + number)
    await sequence.begin()
    acts = list(ACTS) + sequence.random.choices(ACTS, k=32 - len(ACTS))
    sequence.random.shuffle(acts)
    for act in acts:
        await sequence.act(act)
    await sequence.settle_down()
    seed = f"MOORAGE_SEED={SEED // 1_000} number {number}"
    balances = sum(outside.eth_balance(sequence.url, a) for a in sequence.customers)
    credited = sum([await town.available(c, town.eth) for c in sequence.customers.values()])
    assert credited == balances + await sequence.swept() > 0, seed
    states = {d.state for c in sequence.customers.values() for d in await deposits(town, c)}
    assert states <= {"credited", "orphaned"}, seed
    assert await breaks(town) == [], seed
    assert "grew by less" not in caplog.text, seed
