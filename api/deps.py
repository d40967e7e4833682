"""What the routes work with. Built once in `api/wiring.py`; nothing here is made at import."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request

from api.auth.cache import TokenCache
from chains.registry import Registry
from custody.core.clock import Clock
from custody.core.db import Database
from custody.core.governance import Address, Signature
from custody.core.ids import AccountId, CustomerId, TenantId
from custody.core.money import AssetId
from custody.core.native import NativePool
from custody.core.ports import Signer
from custody.core.settings import Settings
from custody.ledger import accounts, chart
from custody.ledger.batch import Epoch
from custody.ledger.once import OnceBatcher
from custody.withdrawals.deps import WithdrawalDeps
from router.deps import RouterDeps

HOT_CONNECTIONS = 16
ACCOUNT_IDS_MAX = 200_000


class ServiceSigner(Signer, Protocol):
    """The signer as the API uses it: new tenants' keys, policies, the kill switch."""

    async def load_policy(self, signed: Mapping[str, Any]) -> str: ...

    async def enrol(self, signed: Mapping[str, Any]) -> int: ...

    async def status(self) -> dict[str, Any]: ...

    async def freeze(self) -> str: ...

    async def unfreeze(self, person: str, signature: str) -> None: ...

    async def veto(self, tenant: str, what: str, hash_: str, by: Signature) -> None: ...

    async def add_address(
        self, entry: Address, signature: str, consents: Sequence[Signature] = ()
    ) -> int: ...

    async def remove_address(self, tenant: str, entry: str, by: Signature) -> None: ...

    async def freeze_scope(self, tenant: str, scope: str, value: str) -> tuple[str, str]: ...

    async def lift(self, tenant: str, freeze: str, signatures: Sequence[Signature]) -> None: ...


class AccountIds:
    """Ids of customers' accounts, remembered: an account never changes its id or its owner."""

    def __init__(self) -> None:
        self._known: dict[tuple[TenantId, CustomerId, AssetId], AccountId] = {}

    def known(self, tenant: TenantId, customer: CustomerId, asset: AssetId) -> AccountId | None:
        return self._known.get((tenant, customer, asset))

    async def find(
        self, deps: "Deps", tenant: TenantId, customer: CustomerId, asset: AssetId
    ) -> AccountId | None:
        key = (tenant, customer, asset)
        known = self._known.get(key)
        if known is None:
            async with deps.hot.session() as s:
                found = await accounts.find(s, tenant, chart.customer(customer), asset)
            if found is None:
                return None
            if len(self._known) >= ACCOUNT_IDS_MAX:
                self._known.clear()
            known = self._known[key] = found.id
        return known


@dataclass
class Deps:
    """`installation` is the public file that the ceremony wrote; it holds nothing secret."""

    db: Database
    registry: Registry
    clock: Clock
    signer: ServiceSigner
    settings: Settings
    withdrawals: WithdrawalDeps
    router: RouterDeps
    installation: Mapping[str, Any]
    tokens: TokenCache = field(default_factory=TokenCache)
    accounts: AccountIds = field(default_factory=AccountIds)
    hot: NativePool = field(init=False)
    """Connections of the routes whose speed is watched; the same database."""
    epoch: Epoch = field(default_factory=Epoch)
    once: OnceBatcher = field(init=False)
    """Ledger-only requests by group commit; the same database."""

    def __post_init__(self) -> None:
        self.hot = NativePool(self.db.url, HOT_CONNECTIONS)
        self.once = OnceBatcher(self.db.url, self.epoch)

    async def close(self) -> None:
        await self.once.close()
        await self.hot.close()
        await self.db.close()


def deps_of(request: Request) -> Deps:
    deps: Deps = request.app.state.deps
    return deps


async def _deps(request: Request) -> Deps:
    return deps_of(request)


UseDeps = Annotated[Deps, Depends(_deps)]
