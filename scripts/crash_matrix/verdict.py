"""What is right after a trial: asked of the chain first, then of the books."""

from dataclasses import dataclass, field

from chains.devnet import outside
from chains.devnet.rpc import rpc
from custody.assurance import reconcile
from custody.deposits import scan
from custody.deposits.deps import DepositDeps
from custody.ledger import fsck
from router.under_way import PoolsUnderWay
from scripts.crash_matrix.harbour import CHAIN_ID, CONFIRMATIONS, Harbour
from scripts.crash_matrix.service import Service
from scripts.crash_matrix.traffic import (
    ASKS,
    BATCHES,
    ENDS,
    INTERNAL,
    RECIPIENTS,
    Payment,
    Traffic,
    destinations,
)

SCANS_MAX = 400
POOLED = {a.kind for a in ASKS if a.pool}
WANTED = len(ASKS) + len(BATCHES) * len(RECIPIENTS)


@dataclass(frozen=True)
class Before:
    """What the chain and the holders had when the trial began: base units."""

    chain: dict[str, int]
    holders: dict[tuple[str, str], int]


@dataclass
class Verdict:
    """Findings by kind; none of any is a good trial."""

    doubles: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    jams: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.doubles or self.losses or self.jams)

    def to_json(self) -> dict[str, list[str]]:
        return {"doubles": self.doubles, "losses": self.losses, "jams": self.jams}


async def before(h: Harbour, service: Service, rpc_url: str) -> Before:
    """Every trial begins with the same, so this is asked once."""
    chain = {to: on_chain(h, rpc_url, to, native) for to, native in destinations(h)}
    return Before(chain, await _holders(h, service))


async def judge(
    h: Harbour, service: Service, traffic: Traffic, rpc_url: str, start: Before, *, ended: bool
) -> Verdict:
    verdict = Verdict()
    payments = await traffic.payments(service)
    _jams(verdict, payments, ended)
    for payment in payments:
        _one_payment(verdict, h, rpc_url, payment, payments, start)
    await _addresses(verdict, service, rpc_url)
    await _holders_have(verdict, h, service, payments, start)
    await _books(verdict, service, rpc_url)
    return verdict


def on_chain(h: Harbour, rpc_url: str, address: str, native: bool) -> int:
    if native:
        return outside.eth_balance(rpc_url, address)
    return outside.erc20_balance(rpc_url, h.world.tokens["USDC"].address, address)


def _jams(verdict: Verdict, payments: list[Payment], ended: bool) -> None:
    if not ended:
        verdict.jams.append("rounds used up")
    verdict.jams += [f"{p.kind} is {p.state}" for p in payments if p.state not in ENDS]
    if len(payments) < WANTED:
        verdict.jams.append(f"{len(payments)} of {WANTED} payments were taken")


def _one_payment(
    verdict: Verdict,
    h: Harbour,
    rpc_url: str,
    p: Payment,
    payments: list[Payment],
    start: Before,
) -> None:
    """Exactly one payment on chain where the books say so, and none where they say none."""
    paid = on_chain(h, rpc_url, p.destination, p.native) - start.chain[p.destination]
    same = [other for other in payments if other.destination == p.destination]
    if len(same) > 1 or paid > p.net:
        verdict.doubles.append(f"{p.kind}: {len(same)} requests, {paid} paid, net {p.net}")
    elif paid != (p.net if p.state == "settled" else 0):
        verdict.losses.append(f"{p.kind} is {p.state}, {paid} of {p.net} paid")


async def _addresses(verdict: Verdict, service: Service, rpc_url: str) -> None:
    """No nonce is left over on either side, and nothing keeps the next payment from being sent."""
    async with service.parts.db.read() as s:
        known = await s.all("SELECT address, next_nonce FROM nonces WHERE chain_id = :c", _CHAIN)
        stopped = await s.all("SELECT reason FROM signing_stops")
    for row in known:
        used = int(rpc(rpc_url, "eth_getTransactionCount", row.address, "latest"), 16)
        if used != row.next_nonce:
            verdict.jams.append(f"{row.address}: {used} nonces used, {row.next_nonce} bound")
    verdict.jams += [f"signing is stopped: {row.reason}" for row in stopped]


_CHAIN = {"c": CHAIN_ID}


async def _holders(h: Harbour, service: Service) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for name, token in h.tokens.items():
        for account in await service.all(token, "/v1/accounts"):
            found[name, account["asset"]] = int(account["available"])
    return found


async def _holders_have(
    verdict: Verdict, h: Harbour, service: Service, payments: list[Payment], start: Before
) -> None:
    """Each holder has what was there before, less what was settled: no hold is left."""
    now = await _holders(h, service)
    for name in h.tokens:
        for native in (False, True):
            asset = h.eth if native else h.usdc
            had, has = start.holders.get((name, asset), 0), now.get((name, asset), 0)
            own = [p for p in payments if (p.holder, p.native) == (name, native)]
            gone = sum(p.gross for p in own if p.state == "settled" or p.kind in BATCHES)
            pooled = [p for p in own if p.kind in POOLED and p.state == "settled"]
            gone -= sum(p.gross - had for p in pooled)  # the rest came out of the pool
            if not native:
                gone += INTERNAL if name == "bob" else -INTERNAL
            # What pooled shares lacked or paid too much is the pool's to round.
            if abs(had - gone - has) > (10 if pooled else 0):
                verdict.losses.append(f"{name} had {had}, spent {gone}, has {has} of {asset}")


async def _books(verdict: Verdict, service: Service, rpc_url: str) -> None:
    """fsck, open holds, and the ledger against the chain, place by place."""
    p = service.parts
    async with p.db.snapshot() as s:
        verdict.losses += [f"fsck: {fault}" for fault in await fsck.check(s)]
        held = int(await s.scalar("SELECT count(*) FROM open_holds"))
    if held:
        verdict.losses.append(f"{held} holds are left")
    rpc(rpc_url, "anvil_mine", hex(CONFIRMATIONS + 1))
    deposits = DepositDeps(p.db, p.clock, p.registry, p.clients)
    for _ in range(SCANS_MAX):
        if not await scan.step(deposits, CHAIN_ID):
            break
    deps = reconcile.ReconcileDeps(
        p.db, p.clock, p.registry, p.clients, _NoExchange(), PoolsUnderWay()
    )
    report = await reconcile.step(deps, p.installation.tenant_id, CHAIN_ID)
    if report is None:
        verdict.jams.append("no block is complete")
    elif report.breaks:
        broken = [line for line in report.lines if line["broken"]]
        verdict.losses += [f"{x['account']} {x['asset']}: off by {x['difference']}" for x in broken]


class _NoExchange:
    async def holding(self, holder: str, asset_id: str) -> int:
        raise AssertionError("no exchange is used here")
