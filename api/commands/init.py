"""`moorage init`: the ceremony for the first people, keys, contracts and policy.

It runs once, on the machine that will sign, before anything is served. The authority's key file
is read here and nowhere else; people bring public keys only. With a devnet it also deploys our
contracts and lists the local venues.
"""

import json
import os
import secrets
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from api.commands import first_policy, first_pools, first_prices
from api.commands.founding import FirstPerson, Founding
from api.embedded import database_urls
from api.migrations.run import upgrade
from chains.devnet.deploy import deploy_installation
from chains.devnet.rpc import instant_mining
from chains.devnet.safe import owner_safe
from chains.devnet.world import World
from chains.evm.client import EvmClient
from chains.registry import AssetInfo, ChainInfo, Registry
from custody.audit.note import LogKey, log_id
from custody.core.clock import SystemClock
from custody.core.db import Database, WriteSession
from custody.core.errors import Conflict, InvalidInput
from custody.core.ids import PersonId, PoolId, TenantId, format_id, new_uuid7
from custody.core.installation import SCHEMA
from custody.core.money import AssetId, erc20_asset, native_asset
from custody.core.settings import Settings
from custody.deposits import scan
from custody.keys import ceremony
from custody.keys.ceremony import Enrolment
from custody.keys.people import PersonKey, sign_policy
from custody.ledger import assets
from custody.parties import people, places, tenants, tokens
from custody.parties.places import Place
from custody.parties.tokens import Role
from custody.policy import policies
from custody.withdrawals import screen

DEVNET_CONFIRMATIONS = 3
TOKEN_LIFE = timedelta(days=90)


def parse_person(text: str) -> FirstPerson:
    """`role:hex public key`. Raises InvalidInput."""
    role, _, key = text.partition(":")
    try:
        raw = bytes.fromhex(key)
    except ValueError:
        raw = b""
    if not role or len(raw) != 32:
        raise InvalidInput("person", "must be role:public key, the key as 64 hex digits")
    return FirstPerson(role, raw)


async def run(
    settings: Settings,
    tenant_name: str,
    devnet: Mapping[str, Any],
    authority: PersonKey,
    staff: list[FirstPerson],
) -> dict[str, Any]:
    """Found the installation on the chains that `devnet` (the body of devnet.json) describes.

    Returns what its people need to know, tokens included, which are shown once.
    Raises Conflict if this home was founded before.
    """
    home = settings.home.resolve()
    if settings.installation_file.exists():
        raise Conflict("this home has an installation already")
    home.mkdir(parents=True, exist_ok=True)
    urls = database_urls(settings, start=True)
    await upgrade(urls.owner)
    try:
        return await _run(settings, home, urls.app, tenant_name, devnet, authority, staff)
    except BaseException:
        _set_aside(home)
        raise


async def _run(
    settings: Settings,
    home: Path,
    database_url: str,
    tenant_name: str,
    devnet: Mapping[str, Any],
    authority: PersonKey,
    staff: list[FirstPerson],
) -> dict[str, Any]:
    """Files first, the one commit last but for a rename: what fails can be begun again."""
    founding = _found(home, devnet, authority, staff)
    signed = sign_policy(authority, first_policy.document(founding))
    ceremony.install_policy(home, signed)
    _write_exchange_key(home, founding.devnet["exchange"])
    staged = settings.installation_file.with_suffix(".staged")
    _write(staged, installation(founding), 0o644)
    started, db = await _heads(founding), Database(database_url)
    try:
        async with db.write() as s:
            shown = await _record(s, founding, tenant_name, signed, started)
    finally:
        await db.close()
    staged.replace(settings.installation_file)
    return shown


def _set_aside(home: Path) -> None:
    """Keep the secrets of a founding that failed, under a name that does not stop the next."""
    made = home / "signer"
    if made.exists():
        made.rename(home / f"signer.unfinished.{os.getpid()}")


def _found(
    home: Path, devnet: Mapping[str, Any], authority: PersonKey, staff: list[FirstPerson]
) -> Founding:
    """Secrets first, then contracts that name the addresses which follow from them."""
    tenant_id = TenantId(new_uuid7())
    people_by_id = {PersonId(new_uuid7()): person for person in staff}
    keys = ceremony.create(
        home,
        passphrase=secrets.token_urlsafe(32),
        tenant_id=tenant_id,
        authority_public_key=authority.public_key,
        people=[Enrolment(i, p.role, p.public_key) for i, p in people_by_id.items()],
        log_origin=f"moorage.local/{tenant_id.hex[:12]}",
    )
    worlds = {c["chain_id"]: World.from_json(json.dumps(c["world"])) for c in devnet["chains"]}
    rpc = {c["chain_id"]: c["rpc_url"] for c in devnet["chains"]}
    exchange = devnet["exchange"]
    deployed = {}
    for chain_id, world in worlds.items():
        with instant_mining(rpc[chain_id]):
            safe = owner_safe(rpc[chain_id], world)
            ours = deploy_installation(
                rpc[chain_id],
                world,
                treasury=keys.addresses["treasury"],
                payout=keys.addresses["payout"],
                allocator=keys.addresses["allocator"],
                anchorer=keys.addresses["anchorer"],
                owner=safe,
                guardian=keys.addresses["guardian"],
                log_id=bytes.fromhex(log_id(LogKey.parse(keys.log_vkey).name)[2:]),
                exchange_deposit_address=(
                    exchange["deposit_address"] if chain_id == exchange["chain_id"] else None
                ),
                sweep_operator=keys.addresses["gas"],
                book=home / f"contracts-{chain_id}.json",
            )
            deployed[chain_id] = {**ours, "safe": safe}
    pools = {
        (chain_id, name): PoolId(new_uuid7()) for chain_id in worlds for name in first_pools.NAMES
    }
    registry = _registry(devnet, worlds)
    return Founding(home, devnet, registry, worlds, keys, deployed, people_by_id, pools)


def _registry(devnet: Mapping[str, Any], worlds: Mapping[int, World]) -> Registry:
    chains = {
        c["chain_id"]: ChainInfo(
            c["chain_id"],
            f"devnet-{c['chain_id']}",
            (c["rpc_url"],),
            DEVNET_CONFIRMATIONS,
            {},
            devnet=True,
            traces=True,
        )
        for c in devnet["chains"]
    }
    listed = []
    for chain_id, world in worlds.items():
        listed.append(AssetInfo(native_asset(chain_id), chain_id, "ETH", 18, None))
        for t in world.tokens.values():
            asset = erc20_asset(chain_id, t.address)
            listed.append(AssetInfo(asset, chain_id, t.symbol, t.decimals, t.address))
    return Registry(chains, {a.asset_id: a for a in listed})


async def _heads(founding: Founding) -> dict[int, Any]:
    """Where each chain is read from: the block after which our contracts stand."""
    heads = {}
    for chain in founding.registry.chains.values():
        client = EvmClient(chain.chain_id, chain.rpc_urls)
        heads[chain.chain_id] = await client.block("latest")
        await client.close()
    return heads


async def _record(
    s: WriteSession,
    founding: Founding,
    tenant_name: str,
    signed: Mapping[str, Any],
    heads: Mapping[int, Any],
) -> dict[str, Any]:
    """Everything the database has to know, in one commit."""
    now, tenant_id = SystemClock().now(), founding.tenant_id
    for asset in founding.registry.assets.values():
        await assets.register(
            s, AssetId(asset.asset_id), asset.symbol, asset.decimals, asset.chain_id
        )
    await tenants.create(s, tenant_name, 0, founding.keys.account_xpub, at=now, tenant_id=tenant_id)
    for chain_id, ours in founding.deployed.items():
        await _record_places(s, founding, chain_id, ours)
        await scan.begin(s, chain_id, heads[chain_id])
    shown_people = []
    for person_id, person in founding.people.items():
        await people.enrol(
            s, tenant_id, person.role, person.public_key, at=now, person_id=person_id
        )
        shown_people.append(
            {
                "person": format_id("person", person_id),
                "role": person.role,
                "public_key": person.public_key.hex(),
                "token": await _token(s, tenant_id, person.role, person_id),
            }
        )
    await policies.install(s, signed, at=now)
    await screen.load(s, tenant_id, [], at=now)
    await first_pools.create(s, founding, at=now)
    return {
        "tenant": format_id("tenant", tenant_id),
        "people": shown_people,
        "log_key": founding.keys.log_vkey,
        "wallets": dict(founding.keys.addresses),
        "contracts": {str(c): dict(ours) for c, ours in founding.deployed.items()},
        "pools": {f"{n}@{c}": format_id("pool", p) for (c, n), p in founding.pools.items()},
    }


async def _token(
    s: WriteSession, tenant_id: TenantId, role: str, person_id: PersonId
) -> str | None:
    """A first API token for staff whose role has one."""
    if role not in (Role.TREASURY.value, Role.AUDITOR.value):
        return None
    now = SystemClock().now()
    _, text = await tokens.issue(
        s, tenant_id, Role(role), at=now, expires_at=now + TOKEN_LIFE, person_id=person_id
    )
    return text


async def _record_places(
    s: WriteSession, founding: Founding, chain_id: int, ours: Mapping[str, str]
) -> None:
    rows: list[tuple[str, str, str | None]] = [
        (role, founding.keys.addresses[role], path) for role, path in places.PATHS.items()
    ]
    contracts = {
        places.SWEEPER: "sweeper",
        places.ANCHOR: "audit_anchor",
        places.PAYOUTS: "payouts",
        places.SAFE: "safe",
        places.HUB: "sweep_hub",
    }
    rows += [(role, ours[name], None) for role, name in contracts.items()]
    for (at_chain, name), pool_id in founding.pools.items():
        if at_chain == chain_id:
            rows.append((places.guard(pool_id.hex), ours[first_pools.GUARDS[name]], None))
    exchange = founding.devnet["exchange"]
    if exchange["chain_id"] == chain_id:
        rows.append((places.payee(exchange["name"]), exchange["deposit_address"], None))
    for role, address, path in rows:
        await places.add(s, Place(founding.tenant_id, chain_id, role, address, path))


def _anchors(founding: Founding) -> dict[str, Any]:
    """On every chain, as often as a story of minutes needs: gas costs nothing on a devnet."""
    gas = {
        "anchor_max_wei": str(10**17),
        "period_max_wei": str(10**19),
        "period_s": 86_400,
    }
    return {
        "chains": sorted(founding.worlds),
        "quorum": len(founding.worlds),
        "interval_s": 10,
        "deadline_s": 120,
        "gas": {str(chain_id): gas for chain_id in sorted(founding.worlds)},
    }


def installation(founding: Founding) -> dict[str, Any]:
    """The public file that API and worker read at start."""
    exchange = founding.devnet["exchange"]
    return {
        "schema": SCHEMA,
        "tenant": format_id("tenant", founding.tenant_id),
        "registry": founding.registry.to_json(),
        "log": {
            "vkey": founding.keys.log_vkey,
            "id": log_id(LogKey.parse(founding.keys.log_vkey).name),
            "anchor_chain_id": min(founding.worlds),
            "anchors": _anchors(founding),
        },
        "fees": first_policy.fees(founding),
        "exchanges": {
            exchange["name"]: {
                "url": exchange["url"],
                "key_file": "exchange.key.json",
                "kind": exchange.get("kind", "binance"),
            }
        },
        "prices": first_prices.sources(founding),
        "sweeping": first_policy.sweeping(founding),
    }


def _write_exchange_key(home: Path, exchange: Mapping[str, str]) -> None:
    body = {"key": exchange["api_key"], "secret": exchange["api_secret"]}
    _write(home / "exchange.key.json", body, 0o600)


def _write(path: Path, body: Mapping[str, Any], mode: int) -> None:
    """Whole or not at all."""
    fresh = path.with_suffix(".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "w") as file:
        json.dump(body, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
