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

from pydantic import TypeAdapter

from chains.devnet.aave import AaveMarket, deploy_aave, populate_aave
from chains.devnet.accounts import Accounts, accounts_of
from chains.devnet.anvil import REPO, Anvil
from chains.devnet.artifacts import PROJECT, compile_all, own_artifact
from chains.devnet.canonical import SafeContracts, deploy_multicall3, deploy_safe
from chains.devnet.compound import CompoundMarket, deploy_compound, populate_compound
from chains.devnet.morpho import Morpho, deploy_morpho, populate_morpho
from chains.devnet.rpc import deploy
from chains.devnet.tokens import (
    OddTokens,
    Token,
    UsdcRoles,
    deploy_odd,
    deploy_plain,
    deploy_usdc,
    deploy_weth,
)
from chains.devnet.venues import deploy_staking, deploy_vault

PRICES = {"USDC": 1, "TDAI": 1, "WETH": 3_000, "TBTC": 90_000}
"""Whole USD for one whole token."""
PRICE_UNIT = 10**8
BUILD_DAYS = 3
CODE_SIZE_MAX = 40_000
SCRIPT = (
    *("aave", "accounts", "anvil", "artifacts", "canonical", "compound", "morpho", "rpc"),
    *("tokens", "venues", "world"),
)
"""The modules of this folder that the world is made by."""


@dataclass(frozen=True)
class World:
    """Where everything is on one devnet chain. Addresses are checksummed and the same on each."""

    chain_id: int
    accounts: Accounts
    tokens: dict[str, Token]
    """By symbol: USDC, WETH, TBTC, TDAI."""
    odd_tokens: OddTokens
    feeds: dict[str, str]
    """PriceFeed by symbol. `setPrice(int256)` takes USD with 8 decimals; every market reads it."""
    usdc_roles: UsdcRoles
    aave: AaveMarket
    morpho: Morpho
    compound: CompoundMarket
    safe: SafeContracts
    multicall3: str
    vault_usdc: str
    """PlainVault: ERC-4626 on USDC with a steady stream of rewards."""
    staking: str
    """StakingSimulator: token and withdrawal queue in one, with Lido's function names."""
    wrapped_staking: str
    """WrappedStaking: one unit is one share of it, as wstETH."""

    def to_json(self) -> str:
        """The form kept beside the state; `from_json` reads it."""
        return json.dumps(asdict(self), indent=2)

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
    files += [here / f"{module}.py" for module in SCRIPT]
    files += [PROJECT / "foundry.toml", *sorted(PROJECT.glob("*/Imports.sol"))]
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
    compile_all()
    scratch = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    with Anvil.start(chain_id=chain_id, extra_args=_build_args()) as anvil:
        world = _deploy(anvil.rpc_url, chain_id)
        anvil.dump_state(scratch / "state.json")
    (scratch / "world.json").write_text(world.to_json())
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


def _build_args() -> tuple[str, ...]:
    """Begin some days ago, because time locks run while we build and a clock never goes back.

    Two contracts that others compiled are over the code size limit; a loaded chain has the limit.
    """
    began = int(time.time()) - BUILD_DAYS * 24 * 3600
    return ("--timestamp", str(began), "--code-size-limit", str(CODE_SIZE_MAX))


def _deploy(rpc_url: str, chain_id: int) -> World:
    accounts = accounts_of(rpc_url)
    deployer, whale = accounts.deployer, accounts.whale
    usdc, usdc_roles = deploy_usdc(rpc_url, accounts)
    weth = deploy_weth(rpc_url, deployer, (whale, accounts.borrower))
    tokens = {"USDC": usdc, "WETH": weth, **deploy_plain(rpc_url, deployer, whale)}
    odd_tokens = deploy_odd(rpc_url, deployer, whale)
    feeds = _deploy_feeds(rpc_url, deployer)
    aave = deploy_aave(rpc_url, accounts, tokens, feeds)
    populate_aave(rpc_url, accounts, aave)
    morpho = deploy_morpho(rpc_url, accounts, tokens, feeds)
    populate_morpho(rpc_url, accounts, morpho)
    compound = deploy_compound(rpc_url, accounts, tokens, feeds)
    populate_compound(rpc_url, accounts, tokens, compound)
    staking, wrapped_staking = deploy_staking(rpc_url, deployer, whale)
    return World(
        chain_id=chain_id,
        accounts=accounts,
        tokens=tokens,
        odd_tokens=odd_tokens,
        feeds=feeds,
        usdc_roles=usdc_roles,
        aave=aave,
        morpho=morpho,
        compound=compound,
        safe=deploy_safe(rpc_url, deployer),
        multicall3=deploy_multicall3(rpc_url),
        vault_usdc=deploy_vault(rpc_url, deployer, whale, usdc.address),
        staking=staking,
        wrapped_staking=wrapped_staking,
    )


def _deploy_feeds(rpc_url: str, deployer: str) -> dict[str, str]:
    feed = own_artifact("PriceFeed")
    return {
        symbol: deploy(rpc_url, deployer, feed, f"{symbol} / USD", price * PRICE_UNIT)
        for symbol, price in PRICES.items()
    }


def main() -> None:
    """`python -m chains.devnet.world`: build or find the worlds of two chains and say how long."""
    for chain_id in (31337, 31338):
        started = time.monotonic()
        cached = ensure_world(REPO / ".cache", chain_id)
        elapsed_ms = int((time.monotonic() - started) * 1000)
        print(f"chain {chain_id}: {cached.state.relative_to(REPO)} in {elapsed_ms} ms")


if __name__ == "__main__":
    main()
