"""What the jobs of deposits need; built in api/wiring.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chains.evm.client import EvmClient
from chains.registry import Registry
from custody.core.clock import Clock
from custody.core.db import Database
from custody.deposits.sweeping.rules import SweepRules


@dataclass(frozen=True, slots=True)
class DepositDeps:
    db: Database
    clock: Clock
    registry: Registry
    clients: Mapping[int, EvmClient]
    sweeping: Mapping[int, SweepRules] = field(default_factory=dict)

    def rules_of(self, chain_id: int) -> SweepRules:
        """How a chain's deposits are swept; the defaults where the installation says nothing."""
        return self.sweeping.get(chain_id, SweepRules())
