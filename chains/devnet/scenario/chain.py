"""What a chain itself can do to those who use it: time, full blocks, dear gas, reorgs.

Works on any Anvil, whether it mines on demand or by interval. A control reaches what was asked for
or raises DevnetError. Amounts are ints in wei, times ints in seconds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from chains.devnet.rpc import DevnetError, rpc

NO_GAS = 1
"""A block gas limit that no transaction fits in."""


def warp(rpc_url: str, seconds: int) -> None:
    """Let `seconds` of chain time pass, then mine a block. Requires seconds > 0."""
    if seconds <= 0:
        raise DevnetError(f"warp by {seconds} s: time goes forward only")
    before = _head(rpc_url).time
    rpc(rpc_url, "evm_increaseTime", seconds)
    rpc(rpc_url, "anvil_mine", "0x1")
    passed = _head(rpc_url).time - before
    if passed < seconds:
        raise DevnetError(f"warp by {seconds} s: the clock moved {passed} s")


@contextmanager
def held(rpc_url: str) -> Iterator[None]:
    """Nothing is mined by itself inside: what is sent stays in the mempool.

    Inside, `mine_empty` lets blocks pass over what waits, `anvil_mine` takes it in. At the end
    what waits is mined in one block, and the node mines as before.
    """
    with _paused(rpc_url) as was_mining:
        try:
            yield
        finally:
            if was_mining:  # else the hold around this one ends it
                rpc(rpc_url, "anvil_mine", "0x1")


def mine_empty(rpc_url: str, blocks: int = 1) -> None:
    """Mine blocks that leave the mempool as it is, as if they were full of better payers.

    Meanwhile the node refuses new transactions, for their gas.
    """
    with _paused(rpc_url):
        head = _head(rpc_url)
        rpc(rpc_url, "evm_setBlockGasLimit", hex(NO_GAS))
        try:
            rpc(rpc_url, "anvil_mine", hex(blocks))
        finally:
            rpc(rpc_url, "evm_setBlockGasLimit", hex(head.gas_limit))
        mined = _blocks_after(rpc_url, head.number)
    if len(mined) != blocks or any(block.transactions for block in mined):
        raise DevnetError(f"asked for {blocks} empty blocks, got {mined}")


@dataclass(frozen=True)
class FeeSpike:
    """A time of dear gas, in which only `mine` mines."""

    rpc_url: str
    base_fee_wei: int

    def mine(self, blocks: int = 1) -> None:
        """Mine blocks with exactly this base fee; what cannot pay it stays in the mempool.

        Anvil throws such transactions away when it mines, which no network does: they are put back.
        """
        for _ in range(blocks):
            poor = _unable_to_pay(self.rpc_url, self.base_fee_wei)
            signed = [_raw(self.rpc_url, tx_hash) for tx_hash in poor]
            _set_base_fee(self.rpc_url, self.base_fee_wei)
            rpc(self.rpc_url, "anvil_mine", "0x1")
            _set_base_fee(self.rpc_url, 0)  # it lets in only who could pay the next block
            for raw in signed:
                rpc(self.rpc_url, "eth_sendRawTransaction", raw)
            _set_base_fee(self.rpc_url, self.base_fee_wei)
            reached = _head(self.rpc_url).base_fee_wei
            if reached != self.base_fee_wei:
                raise DevnetError(f"the base fee is {reached} wei, not {self.base_fee_wei}")


@contextmanager
def fee_spike(rpc_url: str, base_fee_wei: int) -> Iterator[FeeSpike]:
    """The base fee is `base_fee_wei` inside, from a block mined now; then what it was before.

    Inside, nothing is mined by itself, and the node refuses a new transaction that cannot pay. At
    the end what waits is mined in one block, and the node mines as before.
    """
    before = int(rpc(rpc_url, "eth_feeHistory", "0x1", "latest", [])["baseFeePerGas"][-1], 16)
    with held(rpc_url):
        spike = FeeSpike(rpc_url, base_fee_wei)
        spike.mine()
        try:
            yield spike
        finally:
            _set_base_fee(rpc_url, before)


class Fate(Enum):
    """What becomes of the transactions in the blocks that a reorg replaces."""

    LOST = "nobody has them any more"
    MEMPOOL = "they wait again; mining on demand takes them in at once, unless it is held"
    MINED = "they are in the new blocks, each at its old height"


def reorg(rpc_url: str, depth: int, fate: Fate) -> None:
    """Replace the last `depth` blocks by as many others; the clock does not go back.

    Requires depth > 0. Raises DevnetError if the node cannot go back so far (it never goes behind
    a loaded state; nothing has changed then), or if a transaction did not meet its fate.
    """
    if depth <= 0:
        raise DevnetError(f"a reorg of {depth} blocks")
    with _paused(rpc_url):
        head = _head(rpc_url)
        old = _blocks_after(rpc_url, head.number - depth)
        signed = [
            (_raw(rpc_url, tx_hash), height)
            for height, block in enumerate(old)
            for tx_hash in block.transactions
        ]
        _replace(rpc_url, head, depth, signed if fate is Fate.MINED else [])
        if fate is Fate.MEMPOOL:
            for raw, _ in signed:
                rpc(rpc_url, "eth_sendRawTransaction", raw)
        _check_replaced(rpc_url, old, fate)


def _replace(rpc_url: str, head: "_Block", depth: int, transactions: list[tuple[str, int]]) -> None:
    """`transactions` are signed bytes, each with the height of its block over the common one."""
    clock = _block(rpc_url, "pending").time
    miner = rpc(rpc_url, "eth_coinbase")
    # Another miner: equal blocks of the same second would have equal hashes, and nothing would
    # have happened. It is named after the old head, so that it differs each time.
    rpc(rpc_url, "anvil_setCoinbase", head.hash[:42])
    try:
        rpc(rpc_url, "anvil_reorg", depth, transactions)
    except DevnetError as error:
        raise DevnetError(f"a reorg of {depth} blocks at {head.number}: {error}") from error
    finally:
        rpc(rpc_url, "anvil_setCoinbase", miner)
    rpc(rpc_url, "anvil_setTime", clock)


def _check_replaced(rpc_url: str, old: list["_Block"], fate: Fate) -> None:
    new = _blocks_after(rpc_url, old[0].number - 1)
    if len(new) != len(old) or {b.hash for b in old} & {b.hash for b in new}:
        raise DevnetError(f"the reorg left blocks: {old}, now {new}")
    for block in old:
        for tx_hash in block.transactions:
            found = rpc(rpc_url, "eth_getTransactionByHash", tx_hash)
            height = found and found["blockNumber"]
            met = {
                Fate.LOST: found is None,
                Fate.MEMPOOL: found is not None and height is None,
                Fate.MINED: height == hex(block.number),
            }
            if not met[fate]:
                raise DevnetError(f"after the reorg {tx_hash} is {found}, not {fate.name}")


@contextmanager
def _paused(rpc_url: str) -> Iterator[bool]:
    """The node mines only when told to; yields whether it mined by itself before."""
    automine = rpc(rpc_url, "anvil_getAutomine")
    interval_s = rpc(rpc_url, "anvil_getIntervalMining")
    if automine:
        rpc(rpc_url, "evm_setAutomine", False)
    elif interval_s:
        rpc(rpc_url, "evm_setIntervalMining", 0)
    try:
        yield bool(automine or interval_s)
    finally:
        if automine:
            rpc(rpc_url, "evm_setAutomine", True)
        elif interval_s:
            rpc(rpc_url, "evm_setIntervalMining", interval_s)


def _unable_to_pay(rpc_url: str, base_fee_wei: int) -> list[str]:
    """Hashes of what the base fee keeps in the mempool, each sender's in the order of nonces."""
    poor: list[str] = []
    for by_nonce in rpc(rpc_url, "txpool_content")["pending"].values():
        waiting = [by_nonce[nonce] for nonce in sorted(by_nonce, key=int)]
        fees = [int(tx.get("maxFeePerGas", tx["gasPrice"]), 16) for tx in waiting]
        first = next((i for i, fee in enumerate(fees) if fee < base_fee_wei), len(fees))
        poor += [tx["hash"] for tx in waiting[first:]]  # the later ones wait for the first
    return poor


def _raw(rpc_url: str, tx_hash: str) -> str:
    """Signed bytes of a transaction that the node has."""
    return str(rpc(rpc_url, "eth_getRawTransactionByHash", tx_hash))


def _set_base_fee(rpc_url: str, wei: int) -> None:
    rpc(rpc_url, "anvil_setNextBlockBaseFeePerGas", hex(wei))


@dataclass(frozen=True)
class _Block:
    number: int
    hash: str
    time: int
    gas_limit: int
    base_fee_wei: int
    transactions: tuple[str, ...]


def _block(rpc_url: str, tag: str) -> _Block:
    found: dict[str, Any] = rpc(rpc_url, "eth_getBlockByNumber", tag, False)
    return _Block(
        int(found["number"], 16),
        found["hash"],
        int(found["timestamp"], 16),
        int(found["gasLimit"], 16),
        int(found["baseFeePerGas"], 16),
        tuple(found["transactions"]),
    )


def _head(rpc_url: str) -> _Block:
    return _block(rpc_url, "latest")


def _blocks_after(rpc_url: str, number: int) -> list[_Block]:
    heights = range(number + 1, _head(rpc_url).number + 1)
    return [_block(rpc_url, hex(height)) for height in heights]
