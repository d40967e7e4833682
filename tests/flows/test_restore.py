"""Property 44: an old database over the signer's own server: nothing is paid twice, books agree."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from api.commands import doctor, fsck
from api.commands import log_restore as command
from api.wiring import ExchangeHoldings
from chains.devnet.rpc import rpc
from custody.assurance import bundle, reconcile
from custody.assurance.reconcile import ReconcileDeps
from custody.audit import verify
from custody.core.errors import Refused
from custody.core.ids import PersonId, format_id, parse_id
from custody.core.money import AssetId
from custody.keys.people import PersonKey, sign_approval
from custody.ledger import accounts, balances, chart
from custody.parties import people
from custody.settlement import standstill
from router.under_way import PoolsUnderWay
from scripts.crash_matrix.harbour import CHAIN_ID, Harbour, found
from scripts.crash_matrix.service import Service, open_service
from tests.flows.harbours import Copy, arrived, ask, copied, destination, paying, settled, work

pytestmark = pytest.mark.journey

USDC = 10**6
LATE = [f"late-{n}" for n in range(20)]


@pytest.fixture(scope="module")
def harbour() -> Iterator[Harbour]:
    made = found()
    yield made
    made.close()


@pytest.fixture
def copy(harbour: Harbour) -> Iterator[Copy]:
    with copied(harbour, "restore") as made:
        yield made
        made.drop_database("restored")


def all_paid(copy: Copy) -> list[int]:
    return [arrived(copy, name) for name in ["early", *LATE]]


def nonce(copy: Copy) -> int:
    wallet = copy.harbour.wallets["payout"]
    return int(rpc(copy.anvil.rpc_url, "eth_getTransactionCount", wallet, "latest"), 16)


async def differences(copy: Copy, service: Service) -> dict[str, int]:
    """What the chain has more than the ledger, per account of ours in USDC; nothing where equal."""
    p = service.parts
    holdings = ExchangeHoldings(p.db, p.registry, p.exchanges)
    deps = ReconcileDeps(p.db, p.clock, p.registry, p.clients, holdings, PoolsUnderWay())
    jobs = [name for name in service.jobs if name.startswith("deposits.scan")]
    for _ in range(12):
        copy.anvil.mine(8)
        await service.step(jobs)
    report = await reconcile.step(deps, p.installation.tenant_id, CHAIN_ID)
    assert report is not None
    usdc = copy.harbour.usdc
    return {
        line["account"]: int(line["difference"])
        for line in report.lines
        if line["asset"].lower() == usdc.lower() and line["broken"]
    }


async def suspense(copy: Copy, service: Service) -> int:
    p = service.parts
    async with p.db.read() as s:
        account = await accounts.find(
            s,
            p.installation.tenant_id,
            chart.RECEIVABLE_SUSPENSE,
            AssetId(copy.harbour.usdc),
        )
    return 0 if account is None else balances.balance_of(account).posted


async def stands_still(copy: Copy) -> None:
    """With every job at work nothing is signed; what is missing shows in the reconciliation."""
    paid, used = all_paid(copy), nonce(copy)
    async with open_service(copy.home, copy.settings.database_url or "") as service:
        await work(copy, service, 4)
        async with service.parts.db.read() as s:
            assert "signer_ahead" in (await standstill.stops(s))[CHAIN_ID]
        assert sum((await differences(copy, service)).values()) == -sum(paid)
    assert (all_paid(copy), nonce(copy)) == (paid, used)


async def goes_on(copy: Copy) -> None:
    """What was asked before settles, what was not known is in suspense, and the books agree."""
    paid, used = all_paid(copy), nonce(copy)
    async with open_service(copy.home, copy.settings.database_url or "") as service:
        await settled(copy, service, ["early"])
        await work(copy, service, 4)
        assert (all_paid(copy), nonce(copy)) == (paid, used)
        assert await suspense(copy, service) == sum(paid[1:])
        assert await differences(copy, service) == {}
        entries = await _suspended(service)
        assert entries == sorted(destination(name) for name in LATE)
        await ask(service, copy.harbour, "new", 30 * USDC)
        await settled(copy, service, ["new"])
        assert await differences(copy, service) == {}


async def lost_requests_are_asked_again(copy: Copy) -> None:
    """The answers were lost as well: the client sends the same request with the same key."""
    again, forgotten = LATE[0], LATE[1]
    staff, bob = copy.harbour.treasury, copy.harbour.tokens["bob"]
    async with open_service(copy.home, copy.settings.database_url or "") as service:
        paid, before = arrived(copy, again), await suspense(copy, service)
        asked = await ask(service, copy.harbour, again, 20 * USDC)
        await work(copy, service, 8)
        waiting = await service.get(bob, f"/v1/withdrawals/{asked['id']}")
        listed = {r["beneficiary"]: r for r in await service.all(staff, "/v1/restored-payments")}
        intent = listed[destination(again)]["intent"]
        assert (waiting["state"], arrived(copy, again)) == ("scheduled", paid)
        assert waiting["reason"] == f"may repeat {intent}, which a restore lost: resolve it"
        await service.post(bob, f"/v1/withdrawals/{asked['id']}/cancel", {}, "cancel")

        had = await _free(service, copy, bob)
        way = f"/v1/restored-payments/{intent}/resolve"
        done = await service.post(staff, way, {"outcome": "charged"}, "resolve-1")
        assert [r["outcome"] for r in done["items"]] == ["charged"]
        assert await _free(service, copy, bob) == had - paid
        assert await suspense(copy, service) == before - paid
        with pytest.raises(Exception, match="409"):
            await service.post(staff, way, {"outcome": "borne"}, "resolve-2")

        other = listed[destination(forgotten)]["intent"]
        way = f"/v1/restored-payments/{other}/resolve"
        await service.post(staff, way, {"outcome": "borne"}, "resolve-3")
        assert await suspense(copy, service) == before - paid - arrived(copy, forgotten)
        left = [r["beneficiary"] for r in await service.all(staff, "/v1/restored-payments")]
        assert sorted(left) == sorted(destination(name) for name in LATE[2:])

        await ask(service, copy.harbour, forgotten, 20 * USDC)
        await settled(copy, service, [forgotten])
        assert arrived(copy, forgotten) == 2 * paid
        assert await differences(copy, service) == {}


async def _free(service: Service, copy: Copy, token: str) -> int:
    accounts_ = await service.all(token, "/v1/accounts")
    (mine,) = (a for a in accounts_ if a["asset"].lower() == copy.harbour.usdc.lower())
    return int(mine["available"])


async def _suspended(service: Service) -> list[str]:
    """Where the log says that such payments went."""
    async with service.parts.db.read() as s:
        rows = await s.all(
            "SELECT convert_from(body, 'UTF8')::jsonb -> 'data' ->> 'intent' AS intent,"
            " convert_from(body, 'UTF8')::jsonb -> 'data' ->> 'to' AS paid"
            " FROM audit_entries WHERE kind = 'payment.suspended'"
        )
        known = {format_id("intent", r.id) for r in await s.all("SELECT id FROM intents")}
    assert {row.intent for row in rows} <= known
    return sorted(row.paid for row in rows)


def test_an_old_database_pays_nothing_twice(copy: Copy) -> None:
    async def early() -> None:
        async with open_service(copy.home, copy.settings.database_url or "") as service:
            await ask(service, copy.harbour, "early", 20 * USDC)

    with copy.signing():
        asyncio.run(early())
        copy.copy_database("restored")
        paying(copy, LATE, 20 * USDC)
        assert min(all_paid(copy)) > 0
        copy.database = "restored"
        asyncio.run(stands_still(copy))

        dry = asyncio.run(doctor.run(copy.settings, repair=False))
        assert dry.left >= len(LATE)
        told = [line for line in dry.lines if "payout of" in line]
        for name in LATE:
            (line,) = (x for x in told if destination(name) in x)
            assert f"payout of {arrived(copy, name)} {copy.harbour.usdc}" in line
        assert asyncio.run(doctor.run(copy.settings, repair=False)).lines == dry.lines
        assert asyncio.run(doctor.run(copy.settings, repair=True)).left == 0
        asyncio.run(goes_on(copy))
        asyncio.run(lost_requests_are_asked_again(copy))


LOG = ("audit.", "assurance.anchor", "settlement.", "withdrawals", "ledger.", "followers.")


async def log_work(copy: Copy, service: Service, rounds: int = 12) -> None:
    """The jobs that write the log and anchor it, with blocks in between."""
    jobs = [name for name in service.jobs if name.startswith(LOG)]
    for _ in range(rounds):
        copy.anvil.mine(8)
        await service.step(jobs)


async def anchored(service: Service) -> int:
    async with service.parts.db.read() as s:
        found = "SELECT coalesce(max(size), 0) FROM anchors WHERE state = 'anchored'"
        return int(await s.scalar(found))


async def verified(service: Service) -> dict[str, tuple[str, str]]:
    vkey = service.parts.installation.log_vkey
    async with service.parts.db.snapshot() as s:
        data = await bundle.build(s, vkey)
    return {x.name: (x.status, x.detail) for x in verify.verify_bundle(data, vkey).steps}


async def enrol_second(copy: Copy) -> tuple[PersonId, PersonKey]:
    second = PersonKey.new()
    async with open_service(copy.home, copy.settings.database_url or "") as service:
        p = service.parts
        async with p.db.write() as s:
            tenant, at = p.installation.tenant_id, p.clock.now()
            made = await people.enrol(s, tenant, "treasury", second.public_key, at=at)
        await service.step(["audit.log"])
    return made.id, second


async def log_stops(copy: Copy) -> None:
    """The anchored log is longer: nothing is signed, numbered or sealed."""
    async with open_service(copy.home, copy.settings.database_url or "") as service:
        with pytest.raises(AssertionError, match="not settled"):
            await ask(service, copy.harbour, "new", 20 * USDC)
            await settled(copy, service, ["new"])
        async with service.parts.db.read() as s:
            reason = (await standstill.stops(s))[CHAIN_ID]
        assert "a checkpoint of size" in reason


async def log_goes_on(copy: Copy, second: tuple[PersonId, PersonKey]) -> None:
    """Two people accept; payments and anchors go on, and an auditor follows it all."""
    async with open_service(copy.home, copy.settings.database_url or "") as service:
        deps = command.deps_of(service.parts)
        first = (PersonId(parse_id("person", copy.harbour.person)), copy.harbour.person_key)
        (row,) = await command.examine(deps, [], execute=False)
        end = deps.clock.now() + timedelta(hours=1)
        given = [sign_approval(key, id_, row["digest"], end) for id_, key in (first, second)]
        with pytest.raises(Refused, match="2 persons of treasury, not 1"):
            await command.examine(deps, given[:1], execute=True)
        (done,) = await command.examine(deps, given, execute=True)
        assert (command.waits([row]), command.waits([done])) == (True, False)
        assert done["document"]["seals"][0]["journals"] != "0"
        had = await anchored(service)
        await log_work(copy, service)
        await settled(copy, service, ["new"])
        await log_work(copy, service)
        assert await anchored(service) > max(had, int(done["document"]["size"]))
        steps = await verified(service)
        assert "FAIL" not in {status for status, _ in steps.values()}, steps
        assert "lost in a restore, accepted by two people" in steps["ledger"][1]
        found = await fsck.check(copy.settings)
        assert found["ok"], found


def test_an_anchored_log_that_is_longer_stops_all_until_two_people_accept(copy: Copy) -> None:
    """Property 44: the chain has a checkpoint that the restored database never signed. Payments
    that the log has as final are told again, and not made again."""

    async def anchor() -> None:
        async with open_service(copy.home, copy.settings.database_url or "") as service:
            await log_work(copy, service)
            assert await anchored(service)

    with copy.signing():
        second = asyncio.run(enrol_second(copy))
        copy.copy_database("restored")
        paying(copy, ["early"], 20 * USDC)
        asyncio.run(anchor())
        copy.database = "restored"
        used, paid = nonce(copy), arrived(copy, "early")
        asyncio.run(log_stops(copy))
        assert (arrived(copy, "new"), nonce(copy)) == (0, used)
        asyncio.run(doctor.run(copy.settings, repair=True))
        asyncio.run(log_goes_on(copy, second))
    assert arrived(copy, "new") > 0
    assert arrived(copy, "early") == paid
