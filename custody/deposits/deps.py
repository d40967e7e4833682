"""What the jobs of deposits need; built in api/wiring.py."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from chains.evm.ahead import Pace
from chains.evm.client import EvmClient
from chains.registry import Registry
from custody.core.clock import Clock
from custody.core.db import Database
from custody.deposits.sweeping.rules import SweepRules
from custody.deposits.watched import Watched


@dataclass(frozen=True, slots=True)
class DepositDeps:
    """`watched` and `paces` are what the scanner remembers of a chain from step to step."""

    db: Database
    clock: Clock
    registry: Registry
    clients: Mapping[int, EvmClient]
    watched: defaultdict[int, Watched] = field(default_factory=lambda: defaultdict(Watched))
    paces: defaultdict[int, Pace] = field(default_factory=lambda: defaultdict(Pace))
    sweeping: Mapping[int, SweepRules] = field(default_factory=dict)

    def rules_of(self, chain_id: int) -> SweepRules:
        """How a chain's deposits are swept; the defaults where the installation says nothing."""
        return self.sweeping.get(chain_id, SweepRules())
