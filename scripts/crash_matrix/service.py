"""An installation as one process works with it: HTTP application, jobs, clients and people."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from api import wiring
from api.app import create_app
from api.deps import Deps
from api.jobs import jobs
from api.wiring import Parts
from api.worker import Job, run_job
from custody.core.clock import iso_us
from custody.core.ids import parse_id
from custody.core.leases import Leases
from custody.core.settings import Settings
from custody.keys.people import PersonKey, sign_approval
from custody.settlement import standstill

NOT_ON_THE_WAY = ("deposits.", "assurance.", "audit.", "policy.", "router.")
ON_THE_WAY = ("router.recall", "router.rebalance")
"""The jobs that a payment meets between the request and its last journal."""


class Unexpected(RuntimeError):
    """An answer that no client expects."""


@dataclass
class Service:
    """`jobs` are the worker's own; `step` triggers each once under its lease."""

    parts: Parts
    deps: Deps
    jobs: dict[str, Job]
    http: httpx.AsyncClient
    leases: Leases

    @property
    def rpc_url(self) -> str:
        (chain,) = self.parts.registry.chains.values()
        return chain.rpc_urls[0]

    async def step(self, names: list[str] | None = None) -> None:
        """One task a job, as the scheduler makes them, one after the other."""
        for name in self.jobs if names is None else names:
            await asyncio.create_task(run_job(self.leases, self.jobs[name]))

    def way(self) -> list[str]:
        """The names of the jobs on a payment's way, in the worker's order."""
        return [
            name
            for name in self.jobs
            if not name.startswith(NOT_ON_THE_WAY) or name.startswith(ON_THE_WAY)
        ]

    async def get(self, token: str, path: str) -> Any:
        answer = await self.http.get(path, headers=_bearer(token))
        return _opened(path, answer)

    async def post(self, token: str, path: str, body: Any, key: str) -> Any:
        """Raises Unexpected on any answer but success."""
        headers = {**_bearer(token), "Idempotency-Key": key}
        return _opened(path, await self.http.post(path, json=body, headers=headers))

    async def all(self, token: str, path: str) -> list[dict[str, Any]]:
        """Every item of a listing."""
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            after = "" if cursor is None else f"&cursor={cursor}"
            page = await self.get(token, f"{path}?limit=200{after}")
            items += page["items"]
            cursor = page["next"]
            if cursor is None:
                return items


@asynccontextmanager
async def open_service(home: Path, database_url: str) -> AsyncIterator[Service]:
    """Everything as `moorage serve` builds it, but in this process and without a scheduler."""
    settings = Settings(home=home, DATABASE_URL=database_url)  # type: ignore[call-arg]
    parts, deps = wiring.parts(settings), await wiring.build(settings)
    app = _warm_application()
    app.state.deps = deps
    leases = Leases(parts.db)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    by_name = {job.name: job for job in jobs(parts)}
    async with httpx.AsyncClient(transport=transport, base_url="http://crash") as http:
        await standstill.begin(parts.db, parts.clock, parts.registry.chains)
        yield Service(parts, deps, by_name, http, leases)
    await leases.close()
    await parts.close()
    await parts.db.close()
    await deps.close()


@cache
def _warm_application() -> FastAPI:
    """Its routes take half a second to mount: made by the first who needs it, before any fork."""
    return create_app()


async def approve_all(
    service: Service, intents: list[dict[str, Any]], treasury: str, person: str, key: PersonKey
) -> None:
    """A person at their own desk signs whatever waits for people."""
    for intent in intents:
        if intent["state"] != "awaiting_approval":
            continue
        expires = service.parts.clock.now() + timedelta(hours=1)
        approval = sign_approval(key, parse_id("person", person), intent["digest"], expires)
        body = {
            "intent": intent["id"],
            "digest": intent["digest"],
            "person": person,
            "expires_at": iso_us(expires),
            "signature": approval.signature,
        }
        answer = await service.http.post(
            "/v1/approvals",
            json=body,
            headers={**_bearer(treasury), "Idempotency-Key": f"{intent['id']}{expires:%f}"},
        )
        if answer.status_code not in (201, 409):  # it may have been approved a moment ago
            _opened("/v1/approvals", answer)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _opened(path: str, answer: httpx.Response) -> Any:
    if answer.status_code not in (200, 201):
        raise Unexpected(f"{path}: {answer.status_code} {answer.text[:300]}")
    return answer.json()
