"""The bulk route through HTTP against a FastAPI hello on the same server."""

import json
import statistics
from datetime import timedelta

from custody.core.clock import SystemClock
from custody.core.db import Database
from custody.core.ids import TransferId, format_id, new_uuid7
from custody.ledger import accounts, chart
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import customers, tokens
from custody.parties.tokens import Role
from scripts.benches.api import CONNECTIONS, get_request, granian, load_round
from scripts.benches.books import ASSET, CODE, Books
from scripts.benches.load import KEY

ITEMS = 1_000
SENDERS = 4
"""Requests under way at once: one is read while another is in the database."""


async def measure(books: Books, folder: str, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Transfers a second of the bulk route and requests a second of hello, by rounds."""
    templates = await _templates(books)
    environment = {"DATABASE_URL": books.app, "MOORAGE_HOME": folder}
    found: dict[str, list[float]] = {"bulk route": [], "hello": []}
    hellos = [get_request("/")] * CONNECTIONS
    with granian("hello", {}) as hello, granian("ours", environment) as ours:
        load_round(hello, hellos, 0.5)
        load_round(ours, templates, 1.0)
        for _ in range(rounds):
            found["hello"].append(load_round(hello, hellos, seconds).per_s)
            found["bulk route"].append(load_round(ours, templates, seconds).per_s * ITEMS)
    return found


async def _templates(books: Books) -> list[str]:
    """One request a sender, each with a customer, a token and money of its own."""
    db, now = Database(books.app), SystemClock().now()
    made = []
    async with db.write() as s:
        for k in range(SENDERS):
            customer = (await customers.create(s, books.tenant, f"bulk-{k}", at=now)).id
            own = await accounts.ensure(
                s, books.tenant, chart.customer(customer), ASSET, "liability", owner_id=customer
            )
            end = now + timedelta(days=1)
            _, secret = await tokens.issue(
                s, books.tenant, Role.HOLDER, at=now, expires_at=end, customer_id=customer
            )
            credit = Transfer(
                TransferId(new_uuid7()), books.tenant, books.house, own, 10**15, CODE, event_at=now
            )
            await post_or_raise(s, [credit])
            recipients = books.holders[k * ITEMS : (k + 1) * ITEMS]
            items = [
                {"to": format_id("customer", r), "asset": ASSET, "amount": "1000"}
                for r in recipients
            ]
            made.append(_request(secret, json.dumps({"transfers": items}, separators=(",", ":"))))
    await db.close()
    return made


def _request(token: str, body: str) -> str:
    return (
        f"POST /v1/transfers/batch HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
        f"Idempotency-Key: {KEY.decode()}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def ratio(found: dict[str, list[float]]) -> float:
    pairs = zip(found["bulk route"], found["hello"], strict=True)
    return statistics.median(ours / hello for ours, hello in pairs)
