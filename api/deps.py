"""What the routes work with. Built once in `api/wiring.py`; nothing here is made at import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request

from api.auth.cache import TokenCache
from chains.registry import Registry
from custody.core.clock import Clock
from custody.core.db import Database
from custody.core.native import NativePool
from custody.core.ports import Signer
from custody.core.settings import Settings
from custody.withdrawals.deps import WithdrawalDeps
from router.deps import RouterDeps

HOT_CONNECTIONS = 16


class ServiceSigner(Signer, Protocol):
    """The signer as the API uses it: new tenants' keys, policies, the kill switch."""

    async def load_policy(self, signed: Mapping[str, Any]) -> str: ...

    async def status(self) -> dict[str, Any]: ...

    async def freeze(self) -> str: ...

    async def unfreeze(self, person: str, signature: str) -> None: ...


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
    hot: NativePool = field(init=False)
    """Connections of the routes whose speed is watched; the same database."""

    def __post_init__(self) -> None:
        self.hot = NativePool(self.db.url, HOT_CONNECTIONS)

    async def close(self) -> None:
        await self.hot.close()
        await self.db.close()


def deps_of(request: Request) -> Deps:
    deps: Deps = request.app.state.deps
    return deps


async def _deps(request: Request) -> Deps:
    return deps_of(request)


UseDeps = Annotated[Deps, Depends(_deps)]
