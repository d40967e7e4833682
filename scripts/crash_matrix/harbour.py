"""The warm start of every trial: an installation with holders, a pool and money in it.

It is founded once by the real ceremony on a real chain. What a trial needs of it is kept as a
template database, a copy of the home folder and the state of the chain, all in memory.
"""

import asyncio
import ctypes
import gzip
import json
import os
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from api.commands import first_policy, init
from api.commands.devnet import CACHE
from api.commands.founding import FirstPerson
from chains.devnet import outside
from chains.devnet.anvil import Anvil
from chains.devnet.world import World, start_chain
from custody.core import embedded
from custody.core.clock import SystemClock
from custody.core.embedded import EmbeddedPostgres
from custody.core.settings import Settings
from custody.keys import homes
from custody.keys import signer as signing
from custody.keys.desk import Desk
from custody.keys.keyring import Keyring
from custody.keys.people import PersonKey
from custody.keys.store import Store
from router import plan
from scripts.crash_matrix.service import Service, open_service

CHAIN_ID = 31337
CONFIRMATIONS = 7
"""More than the deepest reorg of a trial, which is 6: what is final stays."""
TEMPLATE = "crash_template"
USDC, ETHER = 10**6, 10**18
BOB_USDC, BOB_ETHER, ALICE_USDC, ALICE_JOINS = 20_000, 3, 20_000, 19_950
HOT_LIMIT = 2_000 * USDC
"""Whole coins. Alice's money is nearly all pooled, and nearly all of the pool is at a venue."""
OPERATIONAL = ("treasury", "payout", "gas", "allocator", "anchorer")
ROUNDS_MAX = 80


@dataclass(frozen=True)
class Harbour:
    """Where everything lies. Tokens and keys are of this run alone."""

    root: Path
    home: Path
    postgres: EmbeddedPostgres
    chain_state: Path
    world: World
    treasury: str
    person: str
    person_key: PersonKey
    tokens: dict[str, str]
    customers: dict[str, str]
    pool: str
    wallets: dict[str, str]
    keyring: Keyring

    @property
    def owners(self) -> list[str]:
        """Of the treasury's Safe: as many as it asks for, accounts of the node."""
        return [self.world.accounts.deployer, self.world.accounts.market_admin]

    @property
    def usdc(self) -> str:
        return f"eip155:{CHAIN_ID}/erc20:{self.world.tokens['USDC'].address.lower()}"

    @property
    def eth(self) -> str:
        return f"eip155:{CHAIN_ID}/slip44:60"

    def app_url(self, database: str) -> str:
        return self.postgres.url(database, embedded.APP_ROLE)

    def close(self) -> None:
        self.postgres.stop()
        shutil.rmtree(self.root, ignore_errors=True)


def found() -> Harbour:
    """Found the installation, fill it, and put it away as the template. Half a minute."""
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="mrg-crash-", dir=memory if memory.is_dir() else None))
    root.chmod(0o755)
    chain = start_chain(CACHE, CHAIN_ID)
    try:
        return _found(root, chain.anvil, chain.world)
    except BaseException:
        with suppress(OSError, RuntimeError):
            embedded.stop(root / "home" / "pg")
        shutil.rmtree(root, ignore_errors=True)
        raise
    finally:
        chain.anvil.stop()


def _found(root: Path, anvil: Anvil, world: World) -> Harbour:
    home = root / "home"
    # By argument and not by environment: DATABASE_URL may name somebody's server.
    settings = Settings(home=home, DATABASE_URL=None, database_name=TEMPLATE)  # type: ignore[call-arg]
    authority, treasurer = PersonKey.new(), PersonKey.new()
    _limit_the_hot_wallet(world)
    staff = [FirstPerson("treasury", treasurer.public_key)]
    shown = asyncio.run(init.run(settings, "Crash", _devnet(anvil, world), authority, staff))
    point_at(home, anvil.rpc_url)
    postgres = embedded.start(settings.postgres_folder)
    secrets = homes.open_secrets(home, homes.read_secret(home))
    harbour = Harbour(
        root=root,
        home=home,
        postgres=postgres,
        chain_state=root / "chain.json",
        world=world,
        treasury=shown["people"][0]["token"],
        person=shown["people"][0]["person"],
        person_key=treasurer,
        tokens={},
        customers={},
        pool=shown["pools"][f"usdc@{CHAIN_ID}"],
        wallets=shown["wallets"],
        keyring=Keyring(secrets),
    )
    server = fork(lambda: serve_signer(home, harbour.keyring))
    try:
        asyncio.run(_fill(harbour, anvil))
    finally:
        end(server)
    _keep_chain(anvil, harbour.chain_state)
    return harbour


def _keep_chain(anvil: Anvil, file: Path) -> None:
    """With the states of past blocks: what a venue was worth is read at the block of its mark."""
    file.write_bytes(gzip.decompress(bytes.fromhex(anvil.rpc("anvil_dumpState", True)[2:])))


def _limit_the_hot_wallet(world: World) -> None:
    """The first policy of a devnet has no hot limit; here what is above one is the Safe's."""
    document = first_policy.document
    asset = f"eip155:{CHAIN_ID}/erc20:{world.tokens['USDC'].address.lower()}"
    hot = [{"asset": asset, "amount_max": str(HOT_LIMIT)}]
    first_policy.document = lambda founding: document(founding) | {"hot_limits": hot}


def _devnet(anvil: Anvil, world: World) -> dict[str, Any]:
    """One chain, and an exchange that no pool here uses."""
    chain = {"chain_id": CHAIN_ID, "rpc_url": anvil.rpc_url, "world": json.loads(world.to_json())}
    exchange = {
        "name": "none",
        "chain_id": 0,
        "url": "http://127.0.0.1:9",
        "api_key": "none",
        "api_secret": "none",
        "deposit_address": "0x" + "00" * 20,
    }
    return {"schema": "moorage.devnet/1", "chains": [chain], "exchange": exchange}


def point_at(home: Path, rpc_url: str) -> None:
    """Let an installation use another node, and wait for more blocks than a devnet does.

    It watches no prices: there is no exchange here to ask for the second of the two that must
    agree, and without it the router enters nothing.
    """
    file = home / "installation.json"
    body = json.loads(file.read_text())
    for chain in body["registry"]["chains"]:
        chain["rpc_urls"] = [rpc_url]
        chain["confirmations"] = CONFIRMATIONS
    file.write_text(json.dumps(body | {"prices": {}}))


def serve_signer(
    home: Path, keyring: Keyring, watch: Callable[[Store], None] | None = None
) -> None:
    """The signer's own server over this home's store; its keys were opened before the fork."""
    store = Store(homes.folder(home) / "store.db")
    if watch is not None:
        watch(store)
    desk = Desk(store, keyring, SystemClock())
    asyncio.run(signing.listen(desk, homes.socket_path(home), lambda: None))
    store.close()


_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def fork(work: Callable[[], None]) -> int:
    """A child of this warm process that does `work` and ends. Requires that no loop runs here.

    It dies with its parent: a run that is broken off leaves nothing behind that works on.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        _child(work)
    return pid


def _child(work: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def end(pid: int) -> None:
    """SIGTERM, and wait."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


async def _fill(h: Harbour, anvil: Anvil) -> None:
    plan.READ_EVERY_S = 0  # a minute of chain time passes here in a second of ours
    for role in OPERATIONAL:
        outside.send_eth(anvil.rpc_url, h.wallets[role], 10 * ETHER)
    async with open_service(h.home, h.app_url(TEMPLATE)) as service:
        await _admit(service, h, anvil)
        await _until(service, anvil, "deposits", lambda: _swept(service, h))
        await service.post(h.treasury, f"/v1/pools/{h.pool}/policies", _risk(h), "risk")
        await _join(service, h)
        await _until(service, anvil, "the pool", lambda: _placed(service, h))


async def _admit(service: Service, h: Harbour, anvil: Anvil) -> None:
    for name in ("alice", "bob"):
        made = await service.post(h.treasury, "/v1/customers", {"reference": name}, f"c-{name}")
        asked = {"role": "holder", "customer": made["id"], "ttl_s": 86_400}
        h.customers[name] = made["id"]
        token = await service.post(h.treasury, "/v1/tokens", asked, f"t-{name}")
        h.tokens[name] = token["token"]
    for name, whole in (("alice", ALICE_USDC), ("bob", BOB_USDC)):
        address = await _address(service, h, name, "token")
        outside.send_usdc(anvil.rpc_url, h.world, address, whole * USDC)
    ether = await _address(service, h, "bob", "native")
    outside.send_eth(anvil.rpc_url, ether, BOB_ETHER * ETHER)


async def _address(service: Service, h: Harbour, name: str, branch: str) -> str:
    body = {"chain_id": CHAIN_ID, "branch": branch}
    made = await service.post(h.tokens[name], "/v1/deposit-addresses", body, f"{name}{branch}")
    return str(made["address"])


async def _until(service: Service, anvil: Anvil, what: str, done: Callable[[], Any]) -> None:
    """Mine and work until `done`. Raises RuntimeError."""
    jobs = [n for n in service.jobs if not n.startswith(("assurance.", "audit."))]
    for _ in range(ROUNDS_MAX):
        anvil.mine(CONFIRMATIONS)
        await service.step(jobs)
        if await done():
            return
    raise RuntimeError(f"{what}: not there after {ROUNDS_MAX} rounds")


async def _swept(service: Service, h: Harbour) -> bool:
    intents = await service.all(h.treasury, "/v1/intents")
    swept = [i for i in intents if i["kind"].startswith("sweep_") and i["state"] == "final"]
    return len(swept) == 3


async def _join(service: Service, h: Harbour) -> None:
    pool = next(p for p in await service.all(h.treasury, "/v1/pools") if p["id"] == h.pool)
    terms = {"terms_hash": pool["terms_hash"], "tier": pool["tier"]}
    alice = h.tokens["alice"]
    await service.post(alice, f"/v1/pools/{h.pool}/opt-in", terms, "opt-in")
    amount = {"amount": str(ALICE_JOINS * USDC)}
    await service.post(alice, f"/v1/pools/{h.pool}/join", amount, "join")


async def _placed(service: Service, h: Harbour) -> bool:
    position = await service.get(h.treasury, f"/v1/pools/{h.pool}/position")
    plans = await service.get(h.treasury, f"/v1/pools/{h.pool}/plans")
    at_venues = sum(int(v) for v in position["venues"].values())
    waiting = int(position["in_flight"]) + int(position["unfunded"])
    done = bool(plans["items"]) and all(p["state"] == "done" for p in plans["items"])
    return done and not waiting and at_venues > ALICE_JOINS * USDC * 9 // 10


def _risk(h: Harbour) -> dict[str, Any]:
    """All of it on one lending venue but for a buffer of one percent."""
    venue = f"aave-usdc-{CHAIN_ID}"
    return {
        "schema": "moorage.risk/1",
        "pool": h.pool,
        "version": 1,
        "previous": None,
        "tiers": [{"name": "cash", "share_max": "1.00", "venues": [venue]}],
        "venues": [{"id": venue, "cap": str(10**6 * USDC), "share_max": "1.00"}],
        "liquidity_buffer_share": "0.01",
        "rebalance": {
            "horizon_s": 30 * 86_400,
            "min_gain": "1",
            "ticket": str(USDC),
            "cooldown_s": 86_400,
        },
        "spread_bps": 1_000,
    }
