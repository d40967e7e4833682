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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from eth_utils.address import to_checksum_address

from chains.devnet.anvil import Anvil
from chains.devnet.market import ZERO, Listing, deploy_market, deploy_usdc
from chains.devnet.rpc import Artifact, deploy, rpc, send

REPO = Path(__file__).resolve().parents[2]
OUT = REPO / "contracts" / "out"
WETH9 = REPO / "node_modules/canonical-weth/build/contracts/WETH9.json"

ROLES = ("deployer", "usdc_minter", "whale", "borrower", "exchange_hot", "collector", "usdc_admin")
"""Throw-away accounts of Anvil's public test mnemonic, in its order."""

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
    tokens: dict[str, Token]
    contracts: dict[str, str]
    accounts: dict[str, str]

    def to_json(self) -> str:
        """The form kept beside the state; `from_json` reads it."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "World":
        """Read what `to_json` wrote."""
        data = json.loads(text)
        tokens = {symbol: Token(**token) for symbol, token in data["tokens"].items()}
        return cls(data["chain_id"], tokens, data["contracts"], data["accounts"])


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
    addresses: list[str] = [
        to_checksum_address(account) for account in rpc(rpc_url, "eth_accounts")
    ]
    accounts = dict(zip(ROLES, addresses, strict=False))
    tokens = _deploy_tokens(rpc_url, accounts)
    listings = [
        Listing("USDC", tokens["USDC"].address, 6, 10**8, 9_000, 550, 6_000, 7_500, 7_800),
        Listing("TDAI", tokens["TDAI"].address, 18, 10**8, 9_000, 550, 7_500, 7_500, 7_800),
        Listing("WETH", tokens["WETH"].address, 18, 3_000 * 10**8, 9_000, 270, 8_000, 8_000, 8_250),
        Listing("TBTC", tokens["TBTC"].address, 8, 90_000 * 10**8, 8_000, 400, 9_000, 7_300, 7_800),
    ]
    contracts = deploy_market(rpc_url, accounts["deployer"], accounts["collector"], listings)
    _populate_market(rpc_url, accounts, tokens, contracts["aave_pool"])
    contracts["vault_usdc"] = _deploy_vault(rpc_url, accounts, tokens["USDC"].address)
    contracts["staking"] = _deploy_staking(rpc_url, accounts)
    return World(chain_id, tokens, contracts, accounts)


def own_artifact(name: str) -> Artifact:
    """One of our own contracts, as scripts/setup_node built it."""
    return Artifact.load(OUT / f"{name}.sol" / f"{name}.json")


def _deploy_tokens(rpc_url: str, accounts: dict[str, str]) -> dict[str, Token]:
    deployer, whale = accounts["deployer"], accounts["whale"]
    minter = accounts["usdc_minter"]
    usdc = deploy_usdc(rpc_url, deployer, accounts["usdc_admin"], minter)
    send(rpc_url, minter, usdc, "mint(address,uint256)", whale, 10**9 * USDC_UNIT)
    weth = deploy(rpc_url, deployer, Artifact.load(WETH9))
    for name in ("whale", "borrower"):
        send(rpc_url, accounts[name], weth, "deposit()", value=100_000 * ETHER)
    tokens = {"USDC": Token("USDC", usdc, 6), "WETH": Token("WETH", weth, 18)}
    for symbol, decimals in (("TBTC", 8), ("TDAI", 18)):
        name = f"Devnet test {symbol}"
        address = deploy(rpc_url, deployer, own_artifact("TestToken"), name, symbol, decimals)
        send(rpc_url, deployer, address, "mint(address,uint256)", whale, 10 ** (9 + decimals))
        tokens[symbol] = Token(symbol, address, decimals)
    return tokens


def _populate_market(
    rpc_url: str, accounts: dict[str, str], tokens: dict[str, Token], pool: str
) -> None:
    """Suppliers and borrowers, so that every reserve really pays: USDC is 70 % lent out."""
    whale, borrower = accounts["whale"], accounts["borrower"]
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


def _deploy_vault(rpc_url: str, accounts: dict[str, str], usdc: str) -> str:
    whale = accounts["whale"]
    names = ("Devnet USDC vault", "dvUSDC")
    vault = deploy(rpc_url, accounts["deployer"], own_artifact("PlainVault"), usdc, *names)
    rewards = VAULT_SEED * VAULT_APR_BPS * STREAM_YEARS // 10_000
    send(rpc_url, whale, usdc, "approve(address,uint256)", vault, VAULT_SEED + rewards)
    send(rpc_url, whale, vault, "deposit(uint256,address)", VAULT_SEED, whale)
    send(rpc_url, whale, vault, "fund(uint256,uint256)", rewards, STREAM_YEARS * YEAR_S)
    return vault


def _deploy_staking(rpc_url: str, accounts: dict[str, str]) -> str:
    terms = (STAKING_APR_BPS, STAKING_DELAY_S)
    simulator = own_artifact("StakingSimulator")
    address = deploy(rpc_url, accounts["deployer"], simulator, *terms, value=STAKING_REWARDS)
    send(rpc_url, accounts["whale"], address, "submit(address)", ZERO, value=STAKING_SEED)
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
