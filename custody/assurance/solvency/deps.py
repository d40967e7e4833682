"""What the epochs work with; built in `api/wiring.py`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from custody.assurance.reconcile import ReconcileDeps
from custody.assurance.solvency.owners import OwnershipSigner
from custody.core.db import ReadSession
from custody.core.ids import TenantId

TierReader = Callable[[ReadSession, TenantId], Awaitable[Mapping[str, str]]]
"""The tier of each deployed account, by account code: the router knows it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`lead_s` is how far ahead the block of the challenge is at the opening (but at least
    `lead_blocks`): so long that an anchor of the opening comes before it. `window_blocks`: how many
    blocks after it the moment may be. `patience_s`: an epoch that has no report by then is given
    up, and the next one opens `retry_s` after it was opened. `signing_wait_s`: how long a report
    waits for the owners of a Safe."""

    interval_s: int = 86_400
    retry_s: int = 3_600
    lead_s: int = 1_800
    lead_blocks: int = 8
    window_blocks: int = 32
    patience_s: int = 7_200
    signing_wait_s: int = 0
    kept: int = 8
    """Epochs whose proofs are served; of older ones secret and leaves are erased."""
    least: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Base units by asset: what a deposit address must have to be listed (`listing.py`), where it
    is not the default."""


@dataclass(frozen=True, slots=True)
class SolvencyDeps:
    """`chain_id` is the chain of the challenge, on which `anchorer` (the founding tenant) anchors
    the log; `folder` has the log's tiles."""

    reads: ReconcileDeps
    signer: OwnershipSigner
    origin: str
    folder: Path
    chain_id: int
    anchorer: TenantId
    tiers: TierReader
    rules: Rules = Rules()
