"""What payouts cost on a running Anvil: our batcher, a Safe's MultiSend, single transfers.

Gas of whole receipts (21,000, calldata and refunds included) by the number of recipients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from chains.devnet.artifacts import own_artifact
from chains.devnet.rpc import deploy, encode_call, rpc, send, submit, wait_receipt
from chains.devnet.safe import Operation, create_safe, execute, multi_send_data
from chains.devnet.world import World
from chains.evm.address import checksum, keccak
from chains.evm.contracts import payouts
from chains.evm.contracts.payouts import Payout

BATCHES = (1, 10, 100, 200)
AMOUNT = 25_000_000
UNLIMITED = 2**256 - 1
GAS_LIMIT = 29_000_000


@dataclass(frozen=True, slots=True)
class PayoutGas:
    """`gas` is per payout."""

    name: str
    batch: int
    gas: int


def measure_payouts(
    rpc_url: str, world: World, batches: Sequence[int] = BATCHES
) -> list[PayoutGas]:
    """USDC to existing and to new holders, native coin to existing accounts."""
    till = _Till(rpc_url, world)
    return [found for size in batches for found in till.measure(size)]


class _Till:
    """Who pays, and with what: a whale through our contract, and a Safe of two in three."""

    def __init__(self, rpc_url: str, world: World) -> None:
        self._url, self._world = rpc_url, world
        self._usdc, self._whale = world.tokens["USDC"].address, world.accounts.whale
        self._payouts = deploy(rpc_url, world.accounts.deployer, own_artifact("Payouts"))
        self._owners = rpc(rpc_url, "eth_accounts")[-3:]
        self._safe = create_safe(rpc_url, world.safe, self._whale, self._owners, 2)
        send(rpc_url, self._whale, self._usdc, "approve(address,uint256)", self._payouts, UNLIMITED)
        transfer = "transfer(address,uint256)"
        send(rpc_url, self._whale, self._usdc, transfer, self._safe, 10**6 * 10**6)
        rpc(rpc_url, "anvil_setBalance", self._safe, hex(10**6 * 10**18))
        self._ids, self._seeds = count(1), count()
        # 256 ids share a word of storage, and the first of them pays for it.
        self._ours([Payout(checksum("0x" + "ab" * 20), 1)])

    def measure(self, size: int) -> list[PayoutGas]:
        new, again, elsewhere = self._batch(size), self._batch(size), self._batch(size)
        found = {
            "usdc, new holder": self._ours(new),
            "usdc, new holder, Safe MultiSend": self._by_safe(elsewhere, native=False),
            "usdc, existing holder": self._ours(self._again(new)),
            "usdc, existing holder, Safe MultiSend": self._by_safe(
                self._again(elsewhere), native=False
            ),
        }
        self._ours(again, native=True)
        found["native, existing account"] = self._ours(self._again(again), native=True)
        found["native, existing account, Safe MultiSend"] = self._by_safe(
            self._again(again), native=True
        )
        measured = [PayoutGas(name, size, -(-gas // size)) for name, gas in found.items()]
        return measured + (self._single(new[0].recipient) if size == 1 else [])

    def _batch(self, size: int) -> list[Payout]:
        """Recipients that the chain has never seen, each with an amount of its own."""
        seeds = [f"{self._payouts} {next(self._seeds)}" for _ in range(size)]
        return [
            Payout(checksum("0x" + keccak(seed.encode())[12:].hex()), AMOUNT + i * AMOUNT // 997)
            for i, seed in enumerate(seeds)
        ]

    @staticmethod
    def _again(batch: list[Payout]) -> list[Payout]:
        return [Payout(p.recipient, p.amount + 1) for p in batch]

    def _ours(self, batch: list[Payout], *, native: bool = False) -> int:
        batch_id = next(self._ids)
        if native:
            data = payouts.encode_pay_native(batch_id, batch)
        else:
            data = payouts.encode_pay_token(self._usdc, batch_id, batch)
        value = payouts.total(batch) if native else 0
        return self._pay(self._whale, self._payouts, "0x" + data.hex(), value)

    def _by_safe(self, batch: list[Payout], *, native: bool) -> int:
        transfer = "transfer(address,uint256)"
        calls = [
            (p.recipient, p.amount, "0x") if native
            else (self._usdc, 0, encode_call(transfer, p.recipient, p.amount))
            for p in batch
        ]  # fmt: skip
        receipt = execute(
            self._url, self._safe, self._owners[:2], self._world.safe.multi_send,
            multi_send_data(calls), operation=Operation.DELEGATE_CALL,
        )  # fmt: skip
        return int(receipt["gasUsed"], 16)

    def _single(self, holder: str) -> list[PayoutGas]:
        data = encode_call("transfer(address,uint256)", holder, AMOUNT)
        token = self._pay(self._whale, self._usdc, data, 0)
        native = self._pay(self._whale, holder, "0x", AMOUNT)
        return [
            PayoutGas("usdc, existing holder, single transfer", 1, token),
            PayoutGas("native, existing account, single transfer", 1, native),
        ]

    def _pay(self, sender: str, to: str, data: str, value: int) -> int:
        tx_hash = submit(self._url, sender, to, data, value=value, gas=GAS_LIMIT)
        return int(wait_receipt(self._url, tx_hash)["gasUsed"], 16)
