"""What the rooms above know about a chain. Addresses are EIP-55, hashes and data 0x hex.

Amounts are ints in base units, fees in wei, timestamps in Unix seconds. Everything is frozen.
"""

from dataclasses import dataclass
from typing import Final

NATIVE_LOG_INDEX: Final = -1
"""`TransferSeen.log_index` of native value: what a transaction carries, or a call inside it."""
BALANCE_LOG_INDEX: Final = -2
"""Of native value that only a balance shows: no transaction is named, `tx_hash` is its block's."""


@dataclass(frozen=True, slots=True)
class BlockRef:
    """One block, named so that a reorganisation cannot be mistaken for it."""

    number: int
    hash: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Header:
    """A block and the block it stands on: what the reorg check needs."""

    block: BlockRef
    parent_hash: str
    base_fee: int  # wei per gas


@dataclass(frozen=True, slots=True)
class TransferSeen:
    """Value that arrived at a watched address; `token` None is the native coin.

    `trace_path` is the place among a transaction's calls (`0.2.1`) of what a contract sent; of what
    only a balance shows it is the address in lower case.
    """

    chain_id: int
    block: BlockRef
    tx_hash: str
    log_index: int
    token: str | None
    sender: str
    recipient: str
    amount: int
    trace_path: str = ""


@dataclass(frozen=True, slots=True)
class BlockScan:
    """Everything of interest in one block, and the header that proves which block it was."""

    header: Header
    transfers: tuple[TransferSeen, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """One event. `data` is 0x hex."""

    address: str
    topics: tuple[str, ...]
    data: str
    log_index: int
    tx_hash: str = ""
    block_number: int = 0
    block_hash: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The fate of a mined transaction: status 1 succeeded, 0 reverted (gas was paid anyway)."""

    tx_hash: str
    block: BlockRef
    status: int
    gas_used: int
    effective_gas_price: int
    logs: tuple[Log, ...]
    sender: str = ""
    to: str | None = None

    @property
    def fee(self) -> int:
        """What the sender paid for gas, in wei."""
        return self.gas_used * self.effective_gas_price


@dataclass(frozen=True, slots=True)
class FeeQuote:
    """EIP-1559 fees per gas, in wei."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int
