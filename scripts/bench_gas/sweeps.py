"""What a sweep costs on a running Anvil: our hub, and what else one could do.

Gas of whole receipts (21,000, calldata and refunds included) by the number of wallets, rounded up.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from chains.devnet.rpc import DevnetError, call_address, encode_call, rpc
from chains.evm.contracts import sweep_hub
from chains.evm.contracts.sweep_hub import Sweep
from scripts.bench_gas.yard import AMOUNT, ETHER, Yard

BATCHES = (1, 10, 100, 200)
CLEARED_REFUND = 4_800
"""Gas that a wallet's emptied balance gives back (EIP-3529)."""
INVALID = "0xfe"


@dataclass(frozen=True, slots=True)
class SweepGas:
    """One measurement. `gas` is per wallet."""

    name: str
    batch: int
    gas: int


@dataclass(frozen=True, slots=True)
class BadWallet:
    """A batch with one wallet that burns all its gas: how many of the `good` others were swept."""

    name: str
    good: int
    swept: int


def measure_sweeps(
    rpc_url: str,
    *,
    deployer: str,
    whale: str,
    usdc: str,
    plain: str,
    batches: Sequence[int] = BATCHES,
) -> list[SweepGas]:
    """Ours and the peers, side by side.

    `deployer` and `whale` are unlocked accounts of an Anvil that mines at once. The whale holds
    100,000 USDC and as many base units of `plain`, an ERC-20 without a proxy. First sweeps are as
    Anvil reports them: see `true_first_sweep`.
    """
    yard = Yard(rpc_url, deployer, whale)
    for token in (usdc, plain):
        yard.open(token)
    measured: list[SweepGas] = []
    for size in batches:
        for name, token in (("usdc", usdc), ("erc-20", plain)):
            ours, peers = _ours(yard, name, token, size), _peers(yard, name, token, size)
            measured += [
                SweepGas(what, size, -(-gas // size)) for what, gas in (ours | peers).items()
            ]
    measured.append(SweepGas("usdc, fund-then-transfer gas station", 1, _gas_station(yard, usdc)))
    return measured


def measure_bad_wallet(rpc_url: str, *, deployer: str, whale: str, usdc: str) -> list[BadWallet]:
    """Ten wallets, one of them INVALID: what our hub and a naive one sweep. Accounts as above."""
    yard = Yard(rpc_url, deployer, whale)
    return [_beside_a_burner(yard, usdc, naive) for naive in (False, True)]


def true_first_sweep(reported: int) -> int:
    """Gas of a first sweep per never-used wallet on a chain, from what Anvil reports.

    Anvil counts a refund for an account that does not exist, so that the cap on refunds (a fifth)
    binds. On a chain only the cleared balance is refunded, which is below the cap.
    """
    return -(-reported * 5 // 4) - CLEARED_REFUND


def _ours(yard: Yard, name: str, token: str, size: int) -> dict[str, int]:
    wallets = yard.wallets(size)
    addresses = [w.address for w in wallets]
    yard.fund(token, addresses)
    first = yard.sweep(token, wallets, first=True)
    yard.fund(token, addresses)
    later = yard.sweep(token, wallets)
    yard.fund(token, addresses)
    read = yard.sweep(token, wallets, hinted=False)
    yard.fund(token, addresses)
    naive = yard.pay(yard.deployer, yard.naive_hub, _naive_sweep(token, addresses))
    yard.require_empty(token, addresses)
    return {
        f"{name}, first sweep with delegation": first,
        f"{name}, later sweep": later,
        f"{name}, later sweep, balances read": read,
        f"{name}, later sweep by a naive hub": naive,
    }


def _peers(yard: Yard, name: str, token: str, size: int) -> dict[str, int]:
    salts = yard.salts(size)
    address_of = "addressOf(uint256)"
    forwarders = [call_address(yard.rpc_url, yard.factory, address_of, salt) for salt in salts]
    yard.fund(token, forwarders)
    data = encode_call("createAndFlush(address,uint256[])", token, salts)
    first = yard.pay(yard.deployer, yard.factory, data)
    yard.require_empty(token, forwarders)
    yard.fund(token, forwarders)
    data = encode_call("flush(address,address[])", token, forwarders)
    later = yard.pay(yard.deployer, yard.factory, data)
    yard.require_empty(token, forwarders)
    return {
        f"{name}, CREATE2 forwarder made and flushed": first,
        f"{name}, CREATE2 forwarder flushed": later,
    }


def _gas_station(yard: Yard, token: str) -> int:
    """Ether to the wallet, then the wallet's own transfer."""
    (wallet,) = yard.wallets(1)
    yard.fund(token, [wallet.address])
    transfer = encode_call(
        "transfer(address,uint256)", yard.treasury, yard.balance(token, wallet.address)
    )
    funding = yard.pay(yard.deployer, wallet.address, "0x", value=ETHER)
    own = yard.signed(wallet, token, bytes.fromhex(transfer[2:]), gas_limit=100_000)
    yard.require_empty(token, [wallet.address])
    return funding + own


def _beside_a_burner(yard: Yard, token: str, naive: bool) -> BadWallet:
    wallets = yard.wallets(10)
    addresses = [w.address for w in wallets]
    yard.fund(token, addresses)
    yard.sweep(token, wallets, first=True)
    yard.fund(token, addresses)
    bad = addresses[3]
    rpc(yard.rpc_url, "anvil_setCode", bad, INVALID)
    if naive:
        with suppress(DevnetError):  # it reverts, which is the point
            yard.pay(yard.deployer, yard.naive_hub, _naive_sweep(token, addresses))
    else:
        data = sweep_hub.encode_sweep_token(token, [Sweep(a, AMOUNT) for a in addresses])
        yard.signed(yard.operator, yard.hub, data)
    good = [a for a in addresses if a != bad]
    moved = sum(yard.balance(token, a) < AMOUNT for a in good)
    return BadWallet("naive hub" if naive else "hub", len(good), moved)


def _naive_sweep(token: str, addresses: Sequence[str]) -> str:
    return encode_call("sweep(address,address[])", token, addresses)
