"""A small chain that a fake node serves: headers, payments and logs of a token."""

from dataclasses import dataclass, field
from typing import Any

from chains.evm.address import checksum
from chains.evm.bloom import mask
from chains.evm.calldata import address_topic
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from tests.chains.evm.fake_node import Fails

WALLET, TOKEN = checksum("0x" + "11" * 20), checksum("0x" + "22" * 20)
STRANGER = checksum("0x" + "33" * 20)
OURS, LISTED = {WALLET.lower()}, {TOKEN.lower()}


@dataclass
class FakeChain:
    """Every block pays `wallet` its number in wei and ten times that in TOKEN, but `empty` ones.

    `fork` changes all hashes, `reorg` those of the newest blocks; a transaction that is mined again
    keeps its own. What it is told to do wrong: `without` leaves out the logs of these blocks,
    `most` refuses queries of logs over more blocks.
    """

    head: int = 8
    fork: str = "aa"
    wallet: str = WALLET
    empty: set[int] = field(default_factory=set)
    forks: dict[int, str] = field(default_factory=dict)
    without: set[int] = field(default_factory=set)
    most: int = 1000
    asked: list[str] = field(default_factory=list)

    def hash(self, number: int) -> str:
        return "0x" + self.forks.get(number, self.fork) * 28 + f"{number % 2**32:08x}"

    def reorg(self, depth: int, fork: str, empty: set[int]) -> None:
        """Other blocks take the place of the newest ones; those in `empty` pay nobody now."""
        new = range(max(1, self.head - depth + 1), self.head + 1)
        self.forks |= dict.fromkeys(new, fork)
        self.empty = (self.empty - set(new)) | (empty & set(new))

    def answer(self, method: str, params: list[Any]) -> Any:
        self.asked.append(method)
        match method:
            case "eth_blockNumber":
                return hex(self.head)
            case "eth_getBlockByNumber":
                number = int(params[0], 16)
                return self.block(number) if number <= self.head else None
            case "eth_getTransactionReceipt":
                number = int(params[0][-8:], 16)
                return None if number in self.empty else self.receipt(number)
            case "eth_getLogs":
                return self.logs(params[0])
        raise Fails(f"the method {method} does not exist", -32601)

    def tx_hash(self, number: int) -> str:
        return "0x" + "cc" * 28 + f"{number:08x}"

    def block(self, number: int) -> dict[str, Any]:
        body = {"hash": self.tx_hash(number), "blockHash": self.hash(number)}
        paid = {"from": STRANGER, "to": self.wallet, "value": hex(number)}
        return {
            "number": hex(number),
            "hash": self.hash(number),
            "parentHash": self.hash(number - 1),
            "timestamp": "0x1",
            "logsBloom": f"0x{mask(TRANSFER_EVENT) | mask(TOKEN):0512x}",
            "transactions": [] if number in self.empty else [{**body, **paid}],
        }

    def receipt(self, number: int) -> dict[str, Any]:
        gas = {"status": "0x1", "gasUsed": "0x1", "effectiveGasPrice": "0x1", "logs": []}
        place = {"blockHash": self.hash(number), "blockNumber": hex(number)}
        who = {"from": STRANGER, "to": self.wallet}
        return {"transactionHash": self.tx_hash(number), **place, **gas, **who}

    def logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in query:
            number = int(query["blockHash"][-8:], 16)
            if query["blockHash"] != self.hash(number):
                raise Fails("unknown block")
            return [] if number in self.empty else [self.log(number)]
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        if last - first + 1 > self.most:
            raise Fails("query returned more than 10000 results", -32005)
        return [self.log(n) for n in range(first, last + 1) if n not in self.without | self.empty]

    def log(self, number: int) -> dict[str, Any]:
        return {
            "address": TOKEN.lower(),
            "topics": [TRANSFER_EVENT, address_topic(STRANGER), address_topic(self.wallet)],
            "data": f"0x{10 * number:064x}",
            "logIndex": "0x0",
            "transactionHash": self.tx_hash(number),
            "blockNumber": hex(number),
            "blockHash": self.hash(number),
            "removed": False,
        }
