"""The HTTP application. Its dependencies are handed in, or built when it starts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import edge, errors, routing
from api.auth.guard import current
from api.deps import Deps
from api.problems import Problem
from api.routes.groups import GROUPS
from custody.core import heap
from custody.core.leases import Leases
from custody.ledger import shard

BODY_MAX = 64 * 1024
TITLE = "Moorage"
VERSION = "1"
_DESCRIPTION = (
    "Custody and yield routing. Amounts are decimal strings in base units; times are UTC; "
    "money-moving POSTs need an Idempotency-Key."
)


def create_app(
    deps: Deps | None = None, build: Callable[[], Awaitable[Deps]] | None = None
) -> FastAPI:
    """Give `deps` (tests) or `build` (run when the server starts); neither: documents only."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if build is not None:
            app.state.deps = await build()
        leading = asyncio.create_task(_lead(app.state.deps)) if build is not None else None
        heap.settle()
        yield
        if leading is not None:
            leading.cancel()
            with suppress(asyncio.CancelledError):
                await leading
        if build is not None:
            await app.state.deps.close()

    app = FastAPI(
        title=TITLE,
        version=VERSION,
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.deps = deps
    errors.install(app)
    routing.mount(app, GROUPS, current)
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    app.add_middleware(edge.Edge, body_max=BODY_MAX, larger=routing.body_limits(GROUPS))
    routing.refuse_undeclared(app)
    return app


async def _lead(deps: Deps) -> None:
    """Batch for the ledger's shard while no other process does. Endless."""
    leases = Leases(deps.db)
    try:
        await shard.lead(deps.db, leases, deps.epoch)
    finally:
        await leases.close()


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1 with our one problem shape and the bearer scheme. Built once an application."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = document
    return app.openapi_schema
