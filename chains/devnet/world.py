"""The local DeFi world: real USDC, WETH and Aave V3, a plain vault and a staking simulator.

It is deployed once, kept as an Anvil state in an ignored folder, and loaded from there. Nothing of
it is ever committed.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from eth_utils.address import to_checksum_address
from pydantic import TypeAdapter

from chains.devnet.anvil import Anvil
from chains.devnet.market import ZERO, AaveMarket, Listing, UsdcRoles, deploy_aave, deploy_usdc
from chains.devnet.rpc import Artifact, deploy, rpc, send

REPO = Path(__file__).resolve().parents[2]
OUT = REPO / "contracts" / "out"
WETH9 = REPO / "node_modules/canonical-weth/build/contracts/WETH9.json"

ETHER = 10**18
USDC_UNIT = 10**6
TBTC_UNIT = 10**8
YEAR_S = 365 * 24 * 3600
STREAM_YEARS = 10
"""A cached world may be loaded long after it was built; its rewards must not have run dry."""
VAULT_SEED = 5_000_000 * USDC_UNIT
VAULT_APR_BPS = 500
STAKING_APR_BPS = 320
STAKING_SEED = 10_000 * ETHER
STAKING_REWARDS = 100_000 * ETHER
STAKING_DELAY_S = 24 * 3600
PRICES = {"USDC": 1, "TDAI": 1, "WETH": 3_000, "TBTC": 90_000}
"""Whole USD for one whole token."""
PRICE_UNIT = 10**8
AAVE_TERMS = {
    "USDC": (9_000, 550, 6_000, 7_500, 7_800),
    "TDAI": (9_000, 550, 7_500, 7_500, 7_800),
    "WETH": (9_000, 270, 8_000, 8_000, 8_250),
    "TBTC": (8_000, 400, 9_000, 7_300, 7_800),
}
"""Optimal usage, two slopes, loan to value, liquidation threshold: the last fields of Listing."""


@dataclass(frozen=True)
class Accounts:
    """Throw-away accounts of Anvil's public test mnemonic, in its order; all are unlocked."""

    deployer: str
    usdc_minter: str
    whale: str
    """Has plenty of every token and supplies most of each market."""
    borrower: str
    """Owes something in each market."""
    exchange_hot: str
    collector: str
    """Gets the markets' reserve factors and fees."""
    usdc_admin: str
    market_admin: str
    """Governs every lending market."""


@dataclass(frozen=True)
class Token:
    """An ERC-20: checksummed address, decimals as the contract states them."""

    symbol: str
    address: str
    decimals: int


@dataclass(frozen=True)
class World:
    """Where everything is on one devnet chain. Addresses are checksummed and the same on each."""

    chain_id: int
    accounts: Accounts
    tokens: dict[str, Token]
    """By symbol: USDC, WETH, TBTC, TDAI."""
    feeds: dict[str, str]
    """PriceFeed by symbol. `setPrice(int256)` takes USD with 8 decimals; every market reads it."""
    usdc_roles: UsdcRoles
    aave: AaveMarket
    vault_usdc: str
    """PlainVault: ERC-4626 on USDC with a steady stream of rewards."""
    staking: str
    """StakingSimulator: token and withdrawal queue in one."""

    def to_json(self) -> str:
        """The form kept beside the state; `from_json` reads it."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "World":
        """Read what `to_json` wrote."""
        return _WORLD.validate_json(text)


_WORLD = TypeAdapter(World)


@dataclass(frozen=True)
class CachedWorld:
    """A world and the Anvil state file that holds it."""

    world: World
    state: Path


class DevnetChain(NamedTuple):
    """A running chain with the world on it."""

    anvil: Anvil
    world: World


def start_chain(
    cache_dir: Path,
    chain_id: int,
    port: int = 0,
    block_time: float | None = None,
    *,
    guard: bool = True,
) -> DevnetChain:
    """Start a chain with the world on it; `block_time` in seconds, None mines on demand."""
    cached = ensure_world(cache_dir, chain_id)
    anvil = Anvil.start(
        port, chain_id=chain_id, block_time=block_time, load_state=cached.state, guard=guard
    )
    return DevnetChain(anvil, cached.world)


def ensure_world(cache_dir: Path, chain_id: int) -> CachedWorld:
    """Build the world of `chain_id`, or find it. Safe to call from several processes at once."""
    folder = cache_dir / "world" / _key() / str(chain_id)
    world_file, state_file = folder / "world.json", folder / "state.json"
    if not world_file.exists():
        with _locked(cache_dir):
            if not world_file.exists():
                _build(folder, chain_id)
    return CachedWorld(World.from_json(world_file.read_text()), state_file)


def _key() -> str:
    """A hash of all that the world is made from."""
    here = Path(__file__).resolve().parent
    files = [REPO / "package-lock.json", REPO / "contracts" / "foundry.toml"]
    files += [here / name for name in ("anvil.py", "market.py", "rpc.py", "world.py")]
    files += sorted((REPO / "contracts" / "src").rglob("*.sol"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(REPO)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@contextmanager
def _locked(cache_dir: Path) -> Iterator[None]:
    cache_dir.mkdir(parents=True, exist_ok=True)
    with (cache_dir / "world.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(folder: Path, chain_id: int) -> None:
    """Deploy on a fresh node and put the result in place with one rename."""
    subprocess.run([REPO / "scripts" / "setup_node"], check=True, stdout=subprocess.DEVNULL)
    scratch = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    with Anvil.start(chain_id=chain_id) as anvil:
        world = _deploy(anvil.rpc_url, chain_id)
        anvil.dump_state(scratch / "state.json")
    (scratch / "world.json").write_text(world.to_json())
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


def _deploy(rpc_url: str, chain_id: int) -> World:
    unlocked = rpc(rpc_url, "eth_accounts")[: len(fields(Accounts))]
    accounts = Accounts(*map(to_checksum_address, unlocked))
    tokens, usdc_roles = _deploy_tokens(rpc_url, accounts)
    feeds = _deploy_feeds(rpc_url, accounts.deployer)
    listings = [
        Listing(symbol, tokens[symbol].address, tokens[symbol].decimals, feeds[symbol], *terms)
        for symbol, terms in AAVE_TERMS.items()
    ]
    admins = (accounts.deployer, accounts.market_admin, accounts.collector)
    aave = deploy_aave(rpc_url, *admins, listings)
    _populate_market(rpc_url, accounts, tokens, aave.pool)
    vault = _deploy_vault(rpc_url, accounts, tokens["USDC"].address)
    staking = _deploy_staking(rpc_url, accounts)
    return World(chain_id, accounts, tokens, feeds, usdc_roles, aave, vault, staking)


def _deploy_feeds(rpc_url: str, deployer: str) -> dict[str, str]:
    feed = own_artifact("PriceFeed")
    return {
        symbol: deploy(rpc_url, deployer, feed, f"{symbol} / USD", price * PRICE_UNIT)
        for symbol, price in PRICES.items()
    }


def own_artifact(name: str) -> Artifact:
    """One of our own contracts, as scripts/setup_node built it."""
    return Artifact.load(OUT / f"{name}.sol" / f"{name}.json")


def _deploy_tokens(rpc_url: str, accounts: Accounts) -> tuple[dict[str, Token], UsdcRoles]:
    deployer, whale, minter = accounts.deployer, accounts.whale, accounts.usdc_minter
    usdc, usdc_roles = deploy_usdc(rpc_url, deployer, accounts.usdc_admin, minter)
    send(rpc_url, minter, usdc, "mint(address,uint256)", whale, 10**9 * USDC_UNIT)
    weth = deploy(rpc_url, deployer, Artifact.load(WETH9))
    for who in (whale, accounts.borrower):
        send(rpc_url, who, weth, "deposit()", value=100_000 * ETHER)
    tokens = {"USDC": Token("USDC", usdc, 6), "WETH": Token("WETH", weth, 18)}
    for symbol, decimals in (("TBTC", 8), ("TDAI", 18)):
        name = f"Devnet test {symbol}"
        address = deploy(rpc_url, deployer, own_artifact("TestToken"), name, symbol, decimals)
        send(rpc_url, deployer, address, "mint(address,uint256)", whale, 10 ** (9 + decimals))
        tokens[symbol] = Token(symbol, address, decimals)
    return tokens, usdc_roles


def _populate_market(rpc_url: str, accounts: Accounts, tokens: dict[str, Token], pool: str) -> None:
    """Suppliers and borrowers, so that every reserve really pays: USDC is 70 % lent out."""
    whale, borrower = accounts.whale, accounts.borrower
    supplies = (
        (whale, "USDC", 10_000_000 * USDC_UNIT),
        (whale, "TDAI", 10_000_000 * ETHER),
        (whale, "TBTC", 100 * TBTC_UNIT),
        (borrower, "WETH", 10_000 * ETHER),
    )
    for who, symbol, amount in supplies:
        token = tokens[symbol].address
        send(rpc_url, who, token, "approve(address,uint256)", pool, amount)
        supply = "supply(address,uint256,address,uint16)"
        send(rpc_url, who, pool, supply, token, amount, who, 0)
    borrows = (
        (borrower, "USDC", 7_000_000 * USDC_UNIT),
        (borrower, "TDAI", 6_000_000 * ETHER),
        (borrower, "TBTC", 30 * TBTC_UNIT),
        (whale, "WETH", 3_000 * ETHER),
    )
    for who, symbol, amount in borrows:
        borrow = "borrow(address,uint256,uint256,uint16,address)"
        send(rpc_url, who, pool, borrow, tokens[symbol].address, amount, 2, 0, who)


def _deploy_vault(rpc_url: str, accounts: Accounts, usdc: str) -> str:
    whale = accounts.whale
    names = ("Devnet USDC vault", "dvUSDC")
    vault = deploy(rpc_url, accounts.deployer, own_artifact("PlainVault"), usdc, *names)
    rewards = VAULT_SEED * VAULT_APR_BPS * STREAM_YEARS // 10_000
    send(rpc_url, whale, usdc, "approve(address,uint256)", vault, VAULT_SEED + rewards)
    send(rpc_url, whale, vault, "deposit(uint256,address)", VAULT_SEED, whale)
    send(rpc_url, whale, vault, "fund(uint256,uint256)", rewards, STREAM_YEARS * YEAR_S)
    return vault


def _deploy_staking(rpc_url: str, accounts: Accounts) -> str:
    terms = (STAKING_APR_BPS, STAKING_DELAY_S)
    simulator = own_artifact("StakingSimulator")
    address = deploy(rpc_url, accounts.deployer, simulator, *terms, value=STAKING_REWARDS)
    send(rpc_url, accounts.whale, address, "submit(address)", ZERO, value=STAKING_SEED)
    return address


def main() -> None:
    """`python -m chains.devnet.world`: build or find the worlds of two chains and say how long."""
    for chain_id in (31337, 31338):
        started = time.monotonic()
        cached = ensure_world(REPO / ".cache", chain_id)
        elapsed_ms = int((time.monotonic() - started) * 1000)
        print(f"chain {chain_id}: {cached.state.relative_to(REPO)} in {elapsed_ms} ms")


if __name__ == "__main__":
    main()
