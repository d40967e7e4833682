"""What the steps of a founding ceremony share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chains.devnet.world import World
from chains.registry import Registry
from custody.core.ids import PersonId, PoolId, TenantId
from custody.keys.ceremony import CeremonyResult


@dataclass(frozen=True, slots=True)
class FirstPerson:
    """Somebody of the first staff: `role` as policy names it, `public_key` 32 bytes (Ed25519)."""

    role: str
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Founding:
    """What the steps of one ceremony share."""

    home: Path
    devnet: Mapping[str, Any]
    registry: Registry
    worlds: Mapping[int, World]
    keys: CeremonyResult
    deployed: Mapping[int, Mapping[str, str]]
    people: Mapping[PersonId, FirstPerson]
    pools: Mapping[tuple[int, str], PoolId]

    @property
    def tenant_id(self) -> TenantId:
        return TenantId(self.keys.tenant_id)
