"""The simulated exchange on chain: sees deposits, waits for confirmations, pays withdrawals.

Payments leave the hot wallet, an unlocked dev account with a stock of every coin, out of which
rewards are paid too. Deposits stay where they arrive: nobody holds a key to that address.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chains.devnet.exchange_book import (
    Book,
    Coin,
    Deposit,
    DepositStatus,
    Withdrawal,
    WithdrawalStatus,
)
from chains.errors import ChainError
from chains.evm.address import address_from_bytes, keccak
from chains.evm.blocks import confirmations
from chains.evm.client import EvmClient
from chains.evm.contracts.erc20 import erc20_transfer
from chains.evm.watcher import transfers_in
from chains.types import TransferSeen

GAS = 200_000


def deposit_address(api_key: str) -> str:
    """Where one customer pays in, for every coin. Known before the exchange runs."""
    return address_from_bytes(keccak(b"moorage devnet exchange/" + api_key.encode())[12:])


@dataclass(slots=True)
class ExchangeChain:
    """One chain. `scanned` is the last block whose deposits are in the book."""

    client: EvmClient
    coins: Mapping[str, Coin]
    address: str
    hot_wallet: str
    confirmations: int
    scanned: int = -1
    next_nonce: int = 0

    async def sync(self, book: Book) -> None:
        """Bring the book up to the newest block and push payments on. Raises ChainError."""
        head = await self.client.block("latest")
        for number in range(self.scanned + 1, head.number + 1):
            await self._scan(book, number)
            self.scanned = number
        for deposit in book.deposits:
            deposit.confirmations = confirmations(deposit.block_number, head.number)
            pending = deposit.status is DepositStatus.PENDING
            if pending and deposit.confirmations >= self.confirmations:
                book.credit(deposit)
        book.advance(head.timestamp)
        for withdrawal in book.withdrawals:
            if withdrawal.status is WithdrawalStatus.PROCESSING and not book.faults.frozen:
                # One payment that cannot be sent now must not stop the others, nor the reads.
                with suppress(ChainError):
                    await self._pay(book, withdrawal)

    async def stock_up(self, supplier: str, amounts: Mapping[str, int]) -> None:
        """Give the hot wallet its stock, from an unlocked account, where it has less."""
        head = await self.client.block("latest")
        for symbol, amount in amounts.items():
            token = self.coins[symbol].token
            if token is None:
                continue
            if await self.client.erc20_balance(token, self.hot_wallet, head) < amount:
                data = "0x" + erc20_transfer(self.hot_wallet, amount).hex()
                message = {"from": supplier, "to": token, "data": data, "gas": hex(GAS)}
                await self.client.request("eth_sendTransaction", [message])

    async def _scan(self, book: Book, number: int) -> None:
        by_token = {coin.token: coin for coin in self.coins.values()}
        tokens = {token for token in by_token if token is not None}
        for seen in await transfers_in(self.client, number, {self.address}, tokens):
            book.deposits.append(_deposit(seen, by_token[seen.token], len(book.deposits)))

    async def _pay(self, book: Book, withdrawal: Withdrawal) -> None:
        if not withdrawal.tx_hash:
            await self._send(withdrawal)
        receipt = await self.client.receipt(withdrawal.tx_hash)
        if receipt is None:
            return
        if receipt.status == 1:
            withdrawal.status = WithdrawalStatus.COMPLETED
            withdrawal.completed_s = receipt.block.timestamp
        else:
            book.give_back(withdrawal)

    async def _send(self, withdrawal: Withdrawal) -> None:
        """The nonce is bound first, so that a second try can never be a second payment."""
        if withdrawal.nonce is None:
            mined = await self.client.nonce(self.hot_wallet, "latest")
            withdrawal.nonce = max(mined, self.next_nonce)
            self.next_nonce = withdrawal.nonce + 1
        message = self._transfer(withdrawal)
        try:
            withdrawal.tx_hash = await self.client.request("eth_sendTransaction", [message])
        except ChainError:
            withdrawal.tx_hash = await self._find(withdrawal)

    def _transfer(self, withdrawal: Withdrawal) -> dict[str, Any]:
        message = {"from": self.hot_wallet, "nonce": hex(withdrawal.nonce or 0), "gas": hex(GAS)}
        token = self.coins[withdrawal.coin].token
        if token is None:
            return {**message, "to": withdrawal.address, "value": hex(withdrawal.amount)}
        data = erc20_transfer(withdrawal.address, withdrawal.amount)
        return {**message, "to": token, "data": "0x" + data.hex()}

    async def _find(self, withdrawal: Withdrawal) -> str:
        """The hash of a payment whose answer was lost; raises ChainError if it is not there."""
        parameters = [self.hot_wallet, hex(withdrawal.nonce or 0)]
        found = await self.client.request("eth_getTransactionBySenderAndNonce", parameters)
        if found is None:
            raise ChainError("payment is not sent yet", order=withdrawal.order_id)
        return str(found["hash"])


def _deposit(seen: TransferSeen, coin: Coin, index: int) -> Deposit:
    return Deposit(
        deposit_id=str(1_000_000 + index),
        coin=coin.symbol,
        amount=seen.amount,
        tx_hash=seen.tx_hash,
        block_number=seen.block.number,
        seen_s=seen.block.timestamp,
    )
