"""What the jobs of settlement need; built in api/wiring.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chains.evm.client import EvmClient
from chains.registry import Registry
from custody.core.clock import Clock
from custody.core.db import Database
from custody.core.ports import Signer
from custody.settlement.effects import EffectsTable
from custody.settlement.pricing import SendingRules


@dataclass(frozen=True, slots=True)
class SettlementDeps:
    db: Database
    clock: Clock
    registry: Registry
    clients: Mapping[int, EvmClient]
    signer: Signer
    effects: EffectsTable
    rules: SendingRules = field(default_factory=SendingRules)
