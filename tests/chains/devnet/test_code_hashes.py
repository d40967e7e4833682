"""Other people's code in the world is the code that was reviewed, as long as the lock file stands.

code_hashes.json keeps the hash of the lock file and of each runtime code, by the role that World
names it with; libraries and what lies behind proxies have no role and stand in a list.
MOORAGE_WRITE_CODE_HASHES=1 writes it anew, after packages or the world's scripts were changed on
purpose; the change then shows in review.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from chains.devnet.anvil import REPO
from chains.devnet.world import CachedWorld, World, ensure_world

pytestmark = pytest.mark.chain

KEPT = Path(__file__).with_name("code_hashes.json")
OURS = (
    *("accounts.", "feeds.", "odd_tokens.", "tokens.TBTC", "tokens.TDAI"),
    *("compound.oracle", "morpho.markets.TBTC.oracle", "morpho.markets.WETH.oracle"),
    *("staking", "vault_usdc", "wrapped_staking"),
)
"""Roles whose code is ours: it changes with its source, which review sees."""


def roles_of(world: World) -> dict[str, str]:
    """Lower-case address -> the first role that names it, such as `aave.reserves.USDC.a_token`."""
    roles: dict[str, str] = {}
    for role, address in _leaves(asdict(world), ()):
        roles.setdefault(address.lower(), role)
    return roles


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    elif isinstance(value, str) and len(value) == 42:
        yield ".".join(path).removesuffix(".address"), value


def code_hashes(cached: CachedWorld) -> tuple[dict[str, str], list[str]]:
    """keccak256 of all runtime code in the state but ours: by role, and the rest sorted."""
    roles = roles_of(cached.world)
    accounts = json.loads(cached.state.read_text())["accounts"]
    named, unnamed = {}, []
    for address, account in accounts.items():
        code, role = bytes.fromhex(account["code"][2:]), roles.get(address, "")
        if code and not role:
            unnamed.append("0x" + keccak(code).hex())
        elif code and not role.startswith(OURS):
            named[role] = "0x" + keccak(code).hex()
    return dict(sorted(named.items())), sorted(unnamed)


def test_code_changes_only_with_the_lock_file() -> None:
    """Property 57."""
    lock = hashlib.sha256((REPO / "package-lock.json").read_bytes()).hexdigest()
    named, unnamed = code_hashes(ensure_world(REPO / ".cache", 31337))
    found = {"package_lock": lock, "codes": named, "without_role": unnamed}
    if os.environ.get("MOORAGE_WRITE_CODE_HASHES"):
        KEPT.write_text(json.dumps(found, indent=2) + "\n")
    kept = json.loads(KEPT.read_text())
    assert lock == kept["package_lock"], "packages changed: review and write anew"
    assert named == kept["codes"]
    assert unnamed == kept["without_role"]


def test_every_role_of_other_people_is_watched() -> None:
    cached = ensure_world(REPO / ".cache", 31337)
    watched = set(json.loads(KEPT.read_text())["codes"])
    theirs = {role for role in roles_of(cached.world).values() if not role.startswith(OURS)}
    assert theirs <= watched
    assert {"aave.pool", "morpho.blue", "compound.comptroller", "safe.singleton"} <= theirs
