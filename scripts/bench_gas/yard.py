"""Wallets and contracts for the measuring of sweeps on a running Anvil."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from coincurve import PrivateKey

from chains.devnet.artifacts import OUT, own_artifact
from chains.devnet.rpc import (
    Artifact,
    DevnetError,
    call_uint,
    deploy,
    rpc,
    send,
    submit,
    wait_receipt,
)
from chains.evm.address import address_from_public_key, keccak
from chains.evm.contracts import payouts, sweep_hub
from chains.evm.contracts.payouts import Payout
from chains.evm.contracts.sweep_hub import Sweep
from chains.evm.transactions import Authorization, UnsignedTransaction, authorization_hash

ETHER, GWEI = 10**18, 10**9
AMOUNT = 25_000_000
"""Base units that each wallet holds before a sweep, and a little more from wallet to wallet."""
GAS_LIMIT = 29_000_000


@dataclass(frozen=True, slots=True)
class Wallet:
    """A deposit wallet whose key we have."""

    key: bytes
    address: str

    @classmethod
    def of(cls, seed: str) -> "Wallet":
        key = keccak(seed.encode())
        point: bytes = PrivateKey(key).public_key.format(compressed=False)
        return cls(key, address_from_public_key(point))


@dataclass
class Yard:
    """The contracts of one measurement on one chain, and who pays. `whale` holds the tokens."""

    rpc_url: str
    deployer: str
    whale: str
    chain_id: int = field(init=False)
    operator: Wallet = field(init=False)
    treasury: str = field(init=False)
    sweeper: str = field(init=False)
    hub: str = field(init=False)
    naive_hub: str = field(init=False)
    factory: str = field(init=False)
    funder: str = field(init=False)
    _serial: "count[int]" = field(init=False, default_factory=count)

    def __post_init__(self) -> None:
        url, deployer = self.rpc_url, self.deployer
        self.chain_id = int(rpc(url, "eth_chainId"), 16)
        self.operator = Wallet.of("sweep operator")
        self.treasury = Wallet.of("sweep treasury").address
        rpc(url, "anvil_setBalance", self.operator.address, hex(10**6 * ETHER))
        self.sweeper = deploy(url, deployer, own_artifact("Sweeper"), self.treasury)
        artifact = own_artifact("SweepHub")
        self.hub = deploy(url, deployer, artifact, self.sweeper, self.operator.address)
        self.naive_hub = deploy(url, deployer, own_artifact("NaiveHub"))
        self.factory = deploy(url, deployer, _forwarder_factory())
        self.funder = deploy(url, deployer, own_artifact("Payouts"))

    def wallets(self, size: int) -> list[Wallet]:
        """Accounts that this chain has never seen."""
        return [Wallet.of(f"wallet {self.hub} {salt}") for salt in self.salts(size)]

    def salts(self, size: int) -> list[int]:
        """Numbers that were not used before."""
        return [next(self._serial) for _ in range(size)]

    def fund(self, token: str, holders: Sequence[str]) -> None:
        """Give each of them AMOUNT of the token, and a different bit more."""
        batch = [Payout(h, AMOUNT + i * AMOUNT // 997) for i, h in enumerate(holders)]
        approve = "approve(address,uint256)"
        send(self.rpc_url, self.whale, token, approve, self.funder, payouts.total(batch))
        data = payouts.encode_pay_token(token, next(self._serial), batch)
        self.pay(self.whale, self.funder, "0x" + data.hex())

    def open(self, token: str) -> None:
        """The treasury and the factory hold some already, as they do on any day but the first."""
        self.fund(token, [self.treasury, self.factory])

    def pay(self, sender: str, to: str, data: str, value: int = 0) -> int:
        """Gas of one call from an unlocked account."""
        url = self.rpc_url
        receipt = wait_receipt(url, submit(url, sender, to, data, value=value, gas=GAS_LIMIT))
        return int(receipt["gasUsed"], 16)

    def signed(
        self,
        sender: Wallet,
        to: str,
        data: bytes,
        authorizations: Sequence[Authorization] = (),
        gas_limit: int = GAS_LIMIT,
    ) -> int:
        """Gas of one call that the sender's own key signs; type 4 with authorizations."""
        url = self.rpc_url
        tx = UnsignedTransaction(
            chain_id=self.chain_id,
            nonce=int(rpc(url, "eth_getTransactionCount", sender.address, "latest"), 16),
            max_priority_fee_per_gas=GWEI,
            max_fee_per_gas=100 * GWEI,
            gas_limit=gas_limit,
            to=to,
            value=0,
            data=data,
            authorizations=tuple(authorizations),
        )
        raw = tx.assemble(*_sign(sender.key, tx.signing_hash())).raw
        receipt = wait_receipt(url, rpc(url, "eth_sendRawTransaction", raw))
        return int(receipt["gasUsed"], 16)

    def authorize(self, wallet: Wallet, nonce: int = 0) -> Authorization:
        """A wallet points itself at the sweeper. Only the right nonce counts: 0 if it is new."""
        digest = authorization_hash(self.chain_id, self.sweeper, nonce)
        return Authorization(self.chain_id, self.sweeper, nonce, *_sign(wallet.key, digest))

    def sweep(
        self, token: str, wallets: Sequence[Wallet], *, first: bool = False, hinted: bool = True
    ) -> int:
        """Gas of one batch by our hub. Raises DevnetError if it leaves anything behind."""
        authorizations = [self.authorize(w) for w in wallets] if first else []
        addresses = [w.address for w in wallets]
        sweeps = [Sweep(a, self.balance(token, a) if hinted else 0) for a in addresses]
        data = sweep_hub.encode_sweep_token(token, sweeps)
        gas = self.signed(self.operator, self.hub, data, authorizations)
        self.require_empty(token, addresses)
        return gas

    def require_empty(self, token: str, holders: Sequence[str]) -> None:
        left = [h for h in holders if self.balance(token, h)]
        if left:
            raise DevnetError(f"{len(left)} of {len(holders)} wallets were not swept: {left[0]}")

    def balance(self, token: str, holder: str) -> int:
        return call_uint(self.rpc_url, token, "balanceOf(address)", holder)


def _forwarder_factory() -> Artifact:
    return Artifact.load(OUT / "NaiveForwarder.sol" / "NaiveForwarderFactory.json")


def _sign(key: bytes, digest: bytes) -> tuple[int, int, int]:
    signature = PrivateKey(key).sign_recoverable(digest, hasher=None)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return signature[64], r, s
