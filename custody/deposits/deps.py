"""What the jobs of deposits need; built in api/wiring.py."""

from collections.abc import Mapping
from dataclasses import dataclass

from chains.evm.client import EvmClient
from chains.registry import Registry
from custody.core.clock import Clock
from custody.core.db import Database


@dataclass(frozen=True, slots=True)
class DepositDeps:
    db: Database
    clock: Clock
    registry: Registry
    clients: Mapping[int, EvmClient]
