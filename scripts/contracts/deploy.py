"""`scripts/deploy_contracts`: our contracts on a real chain, at deterministic addresses.

Without --send it reads only: where each contract goes, what is there, what would be done. The
deploying account pays and registers the log; it owns nothing afterwards, and its key comes from the
environment or a keystore, never from the command line.
"""

import argparse
import getpass
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from eth_account import Account
from eth_account.signers.local import LocalAccount

from chains.errors import ChainError, DeploymentRefused
from chains.evm.address import ZERO_ADDRESS, checksum
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.contracts.guard_setup import GuardSetup
from chains.evm.deployment import ours
from chains.evm.deployment.builds import Build
from chains.evm.deployment.logs import owner_of, register_log
from chains.evm.deployment.placing import Placement, Reader, Site, address_book, missing, place
from scripts.contracts import guards
from scripts.contracts.chain import ChainReader, KeyedChain

OUT = Path(__file__).resolve().parents[2] / "contracts" / "out"
KEY, PASSPHRASE = "MOORAGE_DEPLOYER_KEY", "MOORAGE_DEPLOYER_PASSPHRASE"


def main(arguments: Sequence[str] | None = None, out: Path = OUT) -> int:
    """Exit code 1 if the chain, the build or the roles are refused; nothing was sent then, or what
    was sent stays and the next run goes on from there."""
    wanted = _parser().parse_args(arguments)
    try:
        return _send(wanted, out) if wanted.send else _survey(wanted, out)
    except ChainError as error:
        print(f"refused: {error.detail}", file=sys.stderr)
        return 1


def sites_of(wanted: argparse.Namespace, out: Path) -> list[Site]:
    """Raises ArtifactDiffers, or DeploymentRefused if two have one name."""
    builds = ours.builds(out)
    placements = [
        ours.audit_anchor(),
        ours.payouts(),
        ours.sweeper(wanted.treasury),
        *_hub(wanted, builds["Sweeper"]),
        *(ours.treasury_guard(n, setup, wanted.log_id) for n, setup in _setups(wanted)),
        *_vaults(wanted, builds["TreasuryGuard"]),
    ]
    names = [placement.name for placement in placements]
    if len(set(names)) != len(names):
        raise DeploymentRefused(f"guards need names of their own: {', '.join(names)}")
    return [Site.of(placement, builds[placement.contract]) for placement in placements]


def _hub(wanted: argparse.Namespace, sweeper: Build) -> list[Placement]:
    if wanted.sweep_operator is None:
        return []
    site = Site.of(ours.sweeper(wanted.treasury), sweeper)
    return [ours.sweep_hub(site.address, wanted.sweep_operator)]


def _vaults(wanted: argparse.Namespace, guard: Build) -> list[Placement]:
    """After the guards, whose addresses are in their code."""
    setups, found = dict(_setups(wanted)), []
    for name, market in wanted.vtoken_vault:
        if name not in setups or setups[name].asset is None:
            raise DeploymentRefused(f"vtoken vault: {name} is no guard of a token here")
        at = Site.of(ours.treasury_guard(name, setups[name], wanted.log_id), guard).address
        label = f"{name}_{market[2:10].lower()}"
        found.append(ours.vtoken_vault(label, market, at, setups[name].asset or ZERO_ADDRESS))
    return found


def _setups(wanted: argparse.Namespace) -> list[tuple[str, GuardSetup]]:
    roles = (wanted.owner, wanted.guardian, wanted.allocator, wanted.treasury)
    return [(name, guards.load(file, *roles)) for name, file in wanted.guard]


def check_roles(wanted: argparse.Namespace, deployer: str | None = None) -> None:
    """Hot keys do not loosen or stop; who deploys keeps nothing. Raises DeploymentRefused."""
    hot = {"allocator": wanted.allocator, "anchorer": wanted.anchorer}
    if deployer is not None:
        hot["deploying account"] = deployer
    for cold in ("owner", "guardian"):
        for name, address in hot.items():
            if getattr(wanted, cold) == address:
                raise DeploymentRefused(f"{cold} and {name} are one account: {address}")


def _survey(wanted: argparse.Namespace, out: Path) -> int:
    check_roles(wanted)
    sites, chain = sites_of(wanted, out), ChainReader(wanted.chain_id, wanted.rpc, wanted.quorum)
    try:
        chain.check_chain_id()
        at = chain.head()
        absent = missing(chain, sites, at)
        _check_tokens(chain, wanted)
        for site in sites:
            _show(site, "to be deployed" if site in absent else "there")
        anchor = sites[0]
        holder = ZERO_ADDRESS
        if anchor not in absent:
            holder = owner_of(chain, anchor.address, wanted.log_id, at)
    finally:
        chain.close()
    says = "to be registered" if holder == ZERO_ADDRESS else f"belongs to {holder}"
    print(f"log 0x{wanted.log_id.hex()}: {says}")
    print("dry run: nothing was sent")
    return 0


def _send(wanted: argparse.Namespace, out: Path) -> int:
    account = _account(wanted.keystore)
    check_roles(wanted, account.address)
    sites = sites_of(wanted, out)
    chain = KeyedChain(wanted.chain_id, wanted.rpc, wanted.quorum, account)
    try:
        chain.check_chain_id()
        _check_tokens(chain, wanted)
        at = place(chain, sites)
        anchor = sites[0].address
        register_log(chain, anchor, wanted.log_id, wanted.anchorer, wanted.owner)
    finally:
        chain.close()
    for site in sites:
        _show(site, "there")
    path = wanted.book or Path(f"contracts-{wanted.chain_id}.json")
    path.write_text(json.dumps(address_book(wanted.chain_id, at, sites), indent=1) + "\n")
    print(f"address book: {path}")
    return 0


def _check_tokens(chain: Reader, wanted: argparse.Namespace) -> None:
    """A guard over an address without code would be a place of no use. Raises DeploymentRefused.

    The guard's constructor looks at venues itself, and would revert without a word.
    """
    at = chain.head()
    for name, setup in _setups(wanted):
        if setup.asset is not None and not chain.code(setup.asset, at):
            raise DeploymentRefused(f"guard {name}: no token at {setup.asset}")
        for venue in setup.venues:
            if not chain.code(venue.target, at) or not chain.code(venue.aux, at):
                raise DeploymentRefused(f"guard {name}: venue {venue.name} has no code there")
    setups = dict(_setups(wanted))
    for name, market in wanted.vtoken_vault:
        if not chain.code(market, at):
            raise DeploymentRefused(f"vtoken vault of {name}: no market at {market}")
        asset = decode_answer(("address",), chain.call(market, encode_call("underlying()"), at))[0]
        if checksum(asset) != setups[name].asset:
            raise DeploymentRefused(f"vtoken vault of {name}: the market lends {checksum(asset)}")


def _show(site: Site, state: str) -> None:
    print(f"{site.placement.name:<16} {site.address}  {site.placement.contract}: {state}")


def _account(keystore: Path | None) -> LocalAccount:
    """The deploying account. What goes wrong is said without a byte of the secret."""
    try:
        if keystore is None:
            account: LocalAccount = Account.from_key(os.environ[KEY])
            return account
        passphrase = os.environ.get(PASSPHRASE) or getpass.getpass("passphrase of the keystore: ")
        account = Account.from_key(Account.decrypt(json.loads(keystore.read_text()), passphrase))
        return account
    except KeyError:
        raise DeploymentRefused(f"no key: set {KEY}, or give --keystore") from None
    except Exception:  # eth_account's own errors may quote what they were given
        place_ = KEY if keystore is None else "the keystore"
        raise DeploymentRefused(f"{place_} does not give a private key") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/deploy_contracts",
        description="Deploys our contracts at deterministic addresses. A dry run unless --send.",
        epilog=f"With --send the key comes from {KEY} (hex), or from --keystore with {PASSPHRASE}"
        " or a prompt.",
    )
    add = parser.add_argument
    add("--rpc", action="append", required=True, metavar="URL", help="again for another endpoint")
    add("--quorum", type=int, default=1, help="how many endpoints must agree on what is read")
    add("--chain-id", type=int, required=True)
    add("--treasury", type=_address, required=True, help="where sweeps go")
    add("--owner", type=_address, required=True, help="the Safe that owns log and guards")
    add("--guardian", type=_address, required=True)
    add("--allocator", type=_address, required=True)
    add("--anchorer", type=_address, required=True)
    add("--sweep-operator", type=_address, help="who may use a hub for sweeps; none, no hub")
    add("--log-id", type=_log_id, required=True, help="32 bytes, 0x hex")
    add(
        "--guard",
        type=_guard,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a guard with the limits in a JSON file; again for another pool",
    )
    add(
        "--vtoken-vault",
        type=_vault,
        action="append",
        default=[],
        metavar="GUARD=MARKET",
        help="a wrapper of a market of Compound V2's shape for a guard, which then has to list it",
    )
    add("--keystore", type=Path, help="encrypted key file of the deploying account")
    add("--book", type=Path, help="where the address book goes; contracts-<chain id>.json")
    add("--send", action="store_true", help="do it")
    return parser


def _address(text: str) -> str:
    address = checksum(text)
    if address == ZERO_ADDRESS:
        raise ValueError("the zero address is nobody")
    return address


def _log_id(text: str) -> bytes:
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != 32:
        raise ValueError(f"{len(raw)} bytes, 32 are needed")
    return raw


def _guard(text: str) -> tuple[str, Path]:
    name, _, file = text.partition("=")
    if not name.isidentifier():
        raise ValueError(f"not a name: {name!r}")
    return name, Path(file)


def _vault(text: str) -> tuple[str, str]:
    name, _, market = text.partition("=")
    return name, _address(market)


if __name__ == "__main__":
    sys.exit(main())
