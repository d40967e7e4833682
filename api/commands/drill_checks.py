"""What must agree after a restore: keys, addresses, log, books and chains. Each answers one row."""

from dataclasses import dataclass

from api import wiring
from api.commands.backup import Backup
from api.wiring import Parts
from chains.errors import ChainError
from custody.assurance import fsck as log_fsck
from custody.audit import published
from custody.audit.checkpoint import checkpoint_of, latest_checkpoint
from custody.audit.note import LogKey
from custody.core.ports import SignerUnavailable
from custody.deposits import addresses as deposit_addresses
from custody.keys import hd
from custody.ledger import fsck as ledger_fsck
from custody.parties import places, tenants
from custody.parties.tenants import Tenant
from custody.settlement import doctor

SHOWN_MAX = 3
"""Of what does not agree: the first few are named, the rest counted."""


@dataclass(frozen=True, slots=True)
class Row:
    """`detail` says what was compared, or what is wrong."""

    name: str
    ok: bool
    detail: str


def _row(name: str, good: str, wrong: list[str]) -> Row:
    more = f" and {len(wrong) - SHOWN_MAX} more" if len(wrong) > SHOWN_MAX else ""
    return Row(name, not wrong, "; ".join(wrong[:SHOWN_MAX]) + more if wrong else good)


async def keys(p: Parts) -> Row:
    """The secrets are this installation's: the log's key, and every tenant's account."""
    wrong = []
    status = await p.signer.status()
    if status["log_vkey"] != p.installation.log_vkey:
        wrong.append("the log's key is another one")
    every = await _tenants(p)
    for tenant in every:
        if await p.signer.account_xpub(tenant.account_index) != tenant.account_xpub:
            wrong.append(f"account {tenant.account_index} has other keys")
    return _row("keys", f"the log's key and {len(every)} accounts", wrong)


async def addresses(p: Parts) -> Row:
    """Every wallet and every deposit address, derived again from the restored keys."""
    count, wrong = 0, []
    for tenant in await _tenants(p):
        xpub = await p.signer.account_xpub(tenant.account_index)
        for path, address in await _addresses(p, tenant):
            count += 1
            if hd.derive_public(xpub, *map(int, path.split("/"))) != address:
                wrong.append(f"{address} is not at {path}")
    return _row("addresses", f"{count} derived again", wrong)


async def _addresses(p: Parts, tenant: Tenant) -> list[tuple[str, str]]:
    """Path and address of all that a tenant has a key for."""
    found = []
    async with p.db.read() as s:
        for chain_id in p.registry.chains:
            wallets = await places.on_chain(s, chain_id)
            found += [(w.path, w.address) for w in wallets if w.path and w.tenant_id == tenant.id]
            issued = await deposit_addresses.on_chain(s, chain_id)
            found += [(a.path, a.address) for a in issued.values() if a.tenant_id == tenant.id]
    return found


async def _tenants(p: Parts) -> list[Tenant]:
    async with p.db.read() as s:
        return await tenants.every(s)


async def log(p: Parts, backup: Backup) -> Row:
    """Rebuilt from its rows, and at the backup's size it has the backup's root. What is published
    beyond is no fault of the backup's: it was taken while the log went on."""
    async with p.db.snapshot() as s:
        breaks = await log_fsck.check(s, p.installation.log_vkey)
        head = await checkpoint_of(s, backup.size)
        newest = await latest_checkpoint(s)
    wrong = [f"{b.rule}: {b.subject} {b.detail}" for b in breaks]
    if backup.size and (head is None or head.root.hex() != backup.root):
        wrong.append(f"size {backup.size} does not have the backup's root {backup.root}")
    size = newest.size if newest else 0
    good = f"root at {backup.size} is the backup's, signed up to {size}"
    there = published.head(p.settings.audit_folder, LogKey.parse(p.installation.log_vkey))
    if there is not None and there.size > size:
        good += f"; {there.size - size} published entries are missing: `moorage log-restore`"
    return _row("log", good, wrong)


async def ledger(p: Parts) -> Row:
    async with p.db.snapshot() as s:
        breaks = await ledger_fsck.check(s)
    return _row(
        "ledger", "balances are those of the rows", [f"{b.rule}: {b.subject}" for b in breaks]
    )


async def chain(p: Parts, chain_id: int) -> Row:
    """What chain and signer know that the database does not: what came after the backup."""
    name = f"chain {chain_id}"
    deps = wiring.settlement_deps(p)
    try:
        async with p.db.read() as s:
            known = [a for a in await doctor.addresses(s) if a.chain_id == chain_id]
        more = [f for a in known for f in doctor.unknown_here(await doctor.look(deps, a))]
        ahead = await wiring.log_ahead(p) if chain_id == p.installation.anchor_chain_id else None
    except (ChainError, SignerUnavailable) as error:
        return Row(name, False, f"cannot be compared: {error}")
    wrong = [f.line() for f in more] + ([ahead] if ahead else [])
    return _row(name, f"{len(known)} wallets: nothing is missing here", wrong)
