"""What the router's jobs and reads need; built in api/wiring.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chains.evm.client import EvmClient
from chains.registry import Registry
from custody.core.clock import Clock
from custody.core.db import Database
from custody.core.money import AssetId
from router.price_watch import Peg
from router.venues.cefi.port import Earn


@dataclass(frozen=True, slots=True)
class RouterDeps:
    """`exchanges` maps the exchange's name in a venue's config to its client; `pegs` has the
    assets whose prices are watched."""

    db: Database
    clients: Mapping[int, EvmClient]
    registry: Registry
    clock: Clock
    exchanges: Mapping[str, Earn] = field(default_factory=dict)
    pegs: Mapping[AssetId, Peg] = field(default_factory=dict)
