"""`moorage policy`: a decision as a file, that file decided again, a draft on past requests; and
what the limits of a risk policy cost."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from api.commands import limit_prices
from custody.core.db import ReadSession
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import format_id, parse_id
from custody.core.intents import Intent
from custody.policy import replay as again
from custody.policy.document import Policy, parse
from custody.policy.record import decision_from_json

app = typer.Typer(no_args_is_help=True, help="Decisions again; what limits cost.")
app.command("price")(limit_prices.price)

_ONE = """
SELECT i.body AS intent, d.body AS decision, d.tenant_id, p.document
FROM decisions d JOIN intents i ON i.id = d.intent_id AND i.tenant_id = d.tenant_id
JOIN policies p ON p.tenant_id = d.tenant_id AND p.hash = d.policy_hash
WHERE d.id = :decision
"""
_LATEST = """
SELECT DISTINCT ON (d.intent_id) i.body AS intent, d.body AS decision
FROM decisions d JOIN intents i ON i.id = d.intent_id AND i.tenant_id = d.tenant_id
WHERE d.tenant_id = :tenant AND d.decided_at >= :since ORDER BY d.intent_id, d.id DESC
"""
_ROLES = "SELECT id, role FROM people WHERE tenant_id = :tenant"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidInput(
            "file", "must be a readable JSON file", f"{path.name}: {error}"
        ) from None


def _past(row: Any, roles: dict[UUID, str]) -> again.Past:
    made = decision_from_json(row.decision)
    own = {a.person_id: roles[a.person_id] for a in made.approvals}
    return again.Past(Intent.from_json(row.intent), made, own)


@app.command()
def replay(
    record: Annotated[Path, typer.Argument(help="a file that `policy record` wrote")],
) -> None:
    """Decide again, offline, on a record's own inputs. Exit 1 if the result is another."""
    said, found = again.replay(_read(record))
    same = said == found
    typer.echo(json.dumps({"recorded": said.to_json(), "replayed": found.to_json(), "same": same}))
    raise typer.Exit(0 if same else 1)


@app.command()
def record(decision: Annotated[str, typer.Argument(help="dec_…")]) -> None:
    """Write a decision with all that it rests on, for `policy replay`."""
    typer.echo(json.dumps(_served(lambda s, now: record_of(s, decision))))


@app.command(name="what-if")
def what_if(
    draft: Annotated[Path, typer.Argument(help="a policy document, unsigned")],
    days: Annotated[int, typer.Option(min=1, max=366, help="how far back")] = 30,
) -> None:
    """What a draft would decide otherwise of the requests of the last days. Changes nothing."""
    document = parse(_read(draft))
    found = _served(lambda s, now: changes(s, document, now - timedelta(days=days)))
    typer.echo(json.dumps(found, indent=2))


async def record_of(s: ReadSession, decision: str) -> dict[str, Any]:
    """The replay file of a decision. Raises InvalidInput or NotFound.

    NotFound also where its intent was refused at once: such an intent is not stored.
    """
    row = await s.first(_ONE, {"decision": parse_id("decision", decision, "decision")})
    if row is None:
        raise NotFound("decision", decision)
    return again.write(parse(row.document), _past(row, await _roles(s, row.tenant_id)))


async def changes(s: ReadSession, draft: Policy, since: datetime) -> dict[str, Any]:
    """What the draft would decide otherwise of the last decision about each intent since then."""
    rows = await s.all(_LATEST, {"tenant": draft.tenant_id, "since": since})
    roles = await _roles(s, draft.tenant_id)
    past = [_past(row, roles) for row in rows]
    blind = sum(p.decision.facts is None for p in past) if again.asks_for_facts(draft) else 0
    return {
        "tenant": format_id("tenant", draft.tenant_id),
        "requests": len(past),
        "without_facts": blind,
        "changes": again.what_if(draft, past),
    }


async def _roles(s: ReadSession, tenant_id: UUID) -> dict[UUID, str]:
    return {p.id: p.role for p in await s.all(_ROLES, {"tenant": tenant_id})}


def _served(ask: Callable[[ReadSession, datetime], Awaitable[Any]]) -> Any:
    """The answer from one snapshot, with the embedded database up if that is configured."""
    from api import wiring
    from api.embedded import left_as_found
    from custody.core.settings import Settings

    async def run() -> Any:
        parts = wiring.parts(Settings())
        try:
            async with parts.db.snapshot() as s:
                return await ask(s, parts.clock.now())
        finally:
            await parts.db.close()

    with left_as_found(Settings()):
        return asyncio.run(run())
