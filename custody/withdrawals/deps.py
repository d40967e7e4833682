"""What withdrawals need; built in api/wiring.py."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from chains.evm.client import EvmClient
from chains.registry import Registry
from custody.billing.fees import FeeTable
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession


@dataclass(frozen=True, slots=True)
class WithdrawalDeps:
    db: Database
    clock: Clock
    registry: Registry
    fees: FeeTable
    is_ours: Callable[[ReadSession, str], Awaitable[bool]]
    """Whether an address belongs to this service; deposits know, and are wired in."""
    clients: Mapping[int, EvmClient] = field(default_factory=dict)
    """What is asked of the treasury's Safe, by chain."""
