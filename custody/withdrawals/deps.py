"""What withdrawals need; built in api/wiring.py."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

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
