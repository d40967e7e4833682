"""Signatures and addresses a second of one core, against eth-account and bip_utils.

A signature here is the whole way from fields to bytes: type 2 or 4 encoded, hashed, signed, the
signature checked against its key, the raw bytes and their hash. Rates are per second of CPU time
of this one process, medians of ROUNDS interleaved rounds. Before anything is timed, ours and the
peer's must give the same bytes and the same addresses.

Bars: 8,000 a second each, so that a batch of thousands of payouts or addresses is a matter of a
second on one core. The desk, which puts every signature on disk before it answers, is bound by the
disk and not by the core: its rate is by the clock and has no bar.
"""

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bip_utils import Bip32Secp256k1, EthAddrEncoder
from eth_account import Account

from chains.evm.address import address_from_bytes
from chains.evm.transactions import Authorization, UnsignedTransaction, authorization_hash
from custody.keys import hd, mnemonic
from custody.keys.keyring import Keyring, new_secrets
from scripts.benches.form import Measure
from scripts.benches.signing_world import SigningWorld

ROUNDS = 9
OURS, PEERS = 2_000, 200
"""Calls a round; a peer's are fewer, since each takes so much longer."""
DESK = 200
BAR = 8_000
SAME = 50
PATH = "2/1"
DATA = bytes.fromhex("a9059cbb") + bytes(12) + b"\xc0" * 20 + (10**6).to_bytes(32, "big")
"""An ERC-20 transfer, the usual payout."""

Work = Callable[[int], str]


@dataclass
class Race:
    """One piece of work done twice. `ours` and `theirs` give the same text for the same k."""

    name: str
    peer: str
    ours: Work
    theirs: Work
    rates: list[tuple[float, float]] = field(default_factory=list)

    def check(self) -> None:
        """Raises RuntimeError if the answers differ."""
        if any(self.ours(k) != self.theirs(k) for k in range(SAME)):
            raise RuntimeError(f"{self.name}: ours and {self.peer}'s are not the same")

    def run(self, round_: int) -> None:
        ours = _rate(self.ours, round_ * OURS, OURS)
        self.rates.append((ours, _rate(self.theirs, round_ * PEERS, PEERS)))

    def measures(self) -> list[Measure]:
        ours, theirs = (statistics.median(side) for side in zip(*self.rates, strict=True))
        ratio = statistics.median(a / b for a, b in self.rates)
        return [
            Measure(self.name, round(ours), "1/CPU-s", None, BAR),
            Measure(f"{self.name}, {self.peer}", round(theirs), "1/CPU-s"),
            Measure(f"{self.name}, ours / {self.peer}", round(ratio, 1), "ratio", self.peer),
        ]


def measure() -> list[Measure]:
    races = [*_signatures(), _addresses()]
    for race in races:
        race.check()
    gc.disable()
    for round_ in range(ROUNDS):
        for race in races:
            race.run(round_)
        gc.collect()
    gc.enable()
    return [m for race in races for m in race.measures()] + _desk()


def _rate(work: Work, first: int, count: int) -> float:
    """Calls a second of CPU time. Every k is new, so that no cache has the answer."""
    started = time.process_time()
    for k in range(first, first + count):
        work(k)
    return count / (time.process_time() - started)


def _signatures() -> list[Race]:
    plain = new_secrets(bytes(32), "bench.example/log")
    keyring, key = Keyring(plain), _private_key(plain)
    authorized = (_authorization(keyring),)

    def ours(transaction: UnsignedTransaction) -> str:
        made = keyring.sign(0, PATH, transaction.signing_hash())
        return transaction.assemble(made.y_parity, made.r, made.s).raw

    def theirs(body: dict[str, Any]) -> str:
        raw: bytes = Account.sign_transaction(body, key).raw_transaction
        return "0x" + raw.hex()

    return [
        Race(
            "signatures, type 2",
            "eth-account",
            lambda k: ours(_transaction(k)),
            lambda k: theirs(_body(k)),
        ),
        Race(
            "signatures, type 4",
            "eth-account",
            lambda k: ours(_transaction(k, authorized)),
            lambda k: theirs(_body(k, authorized)),
        ),
    ]


def _addresses() -> Race:
    xpub = hd.encode_xpub(hd.master(bytes(range(32))).derive(hd.account_path(0)).public())
    oracle = Bip32Secp256k1.FromExtendedKey(xpub).ChildKey(hd.BRANCH_TOKEN)
    return Race(
        "addresses from an xpub",
        "bip_utils",
        lambda k: hd.derive_public(xpub, hd.BRANCH_TOKEN, k),
        lambda k: str(EthAddrEncoder.EncodeKey(oracle.ChildKey(k).PublicKey().KeyObject())),
    )


def _desk() -> list[Measure]:
    """By the clock: every check, the signature and a durable commit, one after the other."""
    with tempfile.TemporaryDirectory(prefix="mrg-sign-") as folder:
        world = SigningWorld(Path(folder))
        requests = [world.request(nonce) for nonce in range(ROUNDS * DESK)]
        walls, cpus = [], []
        for round_ in range(ROUNDS):
            wall, cpu = time.perf_counter(), time.process_time()
            for request in requests[round_ * DESK : (round_ + 1) * DESK]:
                world.desk.sign(request)
            walls.append(DESK / (time.perf_counter() - wall))
            cpus.append((time.process_time() - cpu) * 1e6 / DESK)
    return [
        Measure("desk, durable signatures", round(statistics.median(walls)), "1/s"),
        Measure("desk, CPU", round(statistics.median(cpus)), "us/signature"),
    ]


def _private_key(plain: bytes) -> bytes:
    """What the keyring signs with at PATH; eth-account must be told."""
    words = mnemonic.mnemonic_from_entropy(bytes.fromhex(json.loads(plain)["entropy"]))
    root = hd.master(mnemonic.seed_from_mnemonic(words))
    return root.derive(f"{hd.account_path(0)}/{PATH}").secret


def _authorization(keyring: Keyring) -> Authorization:
    delegate = address_from_bytes(b"\xd2" * 20)
    made = keyring.sign(0, "1/0", authorization_hash(1, delegate, 0))
    return Authorization(1, delegate, 0, made.y_parity, made.r, made.s)


def _transaction(k: int, authorized: tuple[Authorization, ...] = ()) -> UnsignedTransaction:
    return UnsignedTransaction(
        chain_id=1,
        nonce=k,
        max_priority_fee_per_gas=10**9,
        max_fee_per_gas=30 * 10**9,
        gas_limit=65_000,
        to="0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB",
        value=k,
        data=DATA,
        authorizations=authorized,
    )


def _body(k: int, authorized: tuple[Authorization, ...] = ()) -> dict[str, Any]:
    """The same transaction as `_transaction(k)` in eth-account's form."""
    body: dict[str, Any] = {
        "type": 4 if authorized else 2,
        "chainId": 1,
        "nonce": k,
        "maxPriorityFeePerGas": 10**9,
        "maxFeePerGas": 30 * 10**9,
        "gas": 65_000,
        "to": "0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB",
        "value": k,
        "data": DATA,
        "accessList": [],
    }
    if authorized:
        body["authorizationList"] = [
            {"chainId": a.chain_id, "address": a.delegate, "nonce": a.nonce,
             "yParity": a.y_parity, "r": a.r, "s": a.s}
            for a in authorized
        ]  # fmt: skip
    return body
