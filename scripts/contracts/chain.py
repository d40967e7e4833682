"""A real chain for deployments: read through several endpoints, sent to by one key of our own.

Nonces are the node's here. The service numbers its own transactions; a deployment is a person's,
one transaction after the other, with an account that nothing else uses.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from eth_account.signers.local import LocalAccount
from eth_typing import Hash32

from chains.errors import AlreadyKnown, AmbiguousBroadcast, ChainError, DeploymentRefused
from chains.evm.client import EvmClient
from chains.evm.transactions import UnsignedTransaction
from chains.types import BlockRef, Log

T = TypeVar("T")
RECEIPT_TIMEOUT_S = 600
HEAD_TRIES = 30
POLL_S = 1


class ChainReader:
    """Reads a chain; each read is believed if `quorum` endpoints say the same."""

    def __init__(self, chain_id: int, urls: Sequence[str], quorum: int) -> None:
        self.client = EvmClient(chain_id, urls, quorum=quorum)
        self._runner = asyncio.Runner()
        self._mined_at = 0

    def close(self) -> None:
        self._run(self.client.close())
        self._runner.close()

    def check_chain_id(self) -> None:
        """Raises RpcDisagreement if an endpoint serves another chain."""
        self._run(self.client.check_chain_id())

    def chain_id(self) -> int:
        return self.client.chain_id

    def head(self) -> BlockRef:
        """The newest block of which a quorum knows; not before our last transaction."""
        tries = HEAD_TRIES
        while True:
            tries -= 1
            try:
                number = max(self._run(self.client.block_number()), self._mined_at)
                return self._run(self.client.block(number))
            except ChainError:  # an endpoint is a block behind
                if tries == 0:
                    raise
                time.sleep(POLL_S)

    def code(self, address: str, block: BlockRef) -> bytes:
        return self._run(self.client.code(address, block))

    def call(self, to: str, data: bytes, block: BlockRef) -> bytes:
        return self._run(self.client.call(to, data, block))

    def logs(self, address: str, topics: Sequence[str], until: BlockRef) -> Sequence[Log]:
        return self._run(self.client.logs(0, until.number, [address], topics))

    def _run(self, step: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(step)


class KeyedChain(ChainReader):
    """The same, and sends."""

    def __init__(
        self, chain_id: int, urls: Sequence[str], quorum: int, account: LocalAccount
    ) -> None:
        super().__init__(chain_id, urls, quorum)
        self._account = account

    @property
    def sender(self) -> str:
        return str(self._account.address)

    def send(self, to: str, data: bytes) -> None:
        """Returns when it is mined. Raises DeploymentRefused if it reverted, or if something of
        this account's is under way already; BroadcastError; CallReverted if it would revert."""
        nonce = self._run(self.client.nonce(self.sender))
        if self._run(self.client.nonce(self.sender, "pending")) != nonce:
            raise DeploymentRefused(
                f"{self.sender} has transactions that are not mined yet: run again when they are"
            )
        fees = self._run(self.client.fees())
        unsigned = UnsignedTransaction(
            chain_id=self.client.chain_id,
            nonce=nonce,
            max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
            max_fee_per_gas=fees.max_fee_per_gas,
            gas_limit=self._run(self.client.estimate_gas(self.sender, to, data=data)) * 5 // 4,
            to=to,
            value=0,
            data=data,
        )
        signature = self._account.unsafe_sign_hash(Hash32(unsigned.signing_hash()))
        signed = unsigned.assemble(signature.v - 27, signature.r, signature.s)
        print(f"sending {signed.hash}")
        with contextlib.suppress(AmbiguousBroadcast, AlreadyKnown):
            self._run(self.client.send_raw(signed.raw))
        self._wait(signed.hash)

    def _wait(self, tx_hash: str) -> None:
        deadline = time.monotonic() + RECEIPT_TIMEOUT_S
        while time.monotonic() < deadline:
            receipt = self._run(self.client.receipt(tx_hash))
            if receipt is not None:
                if receipt.status != 1:
                    raise DeploymentRefused(f"transaction {tx_hash} reverted")
                self._mined_at = receipt.block.number
                return
            time.sleep(POLL_S)
        raise DeploymentRefused(
            f"transaction {tx_hash} was not mined in {RECEIPT_TIMEOUT_S} s: run again when it is"
        )
