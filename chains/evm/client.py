"""A chain as money sees it: raw JSON-RPC through several endpoints, answers as our own types.

Every read names its block, by number or (safest: a reorg cannot change it) by `BlockRef`.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from chains.errors import (
    AmbiguousBroadcast,
    ChainError,
    RpcDisagreement,
    RpcRefused,
    RpcUnavailable,
)
from chains.evm import parse
from chains.evm.address import checksum, hash_hex
from chains.evm.broadcast import refusal
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.endpoints import Endpoints
from chains.evm.parse import SimulatedCall
from chains.evm.rpc import NotSent, Params, RpcError
from chains.evm.transactions import raw_hash
from chains.types import BlockRef, FeeQuote, Header, Log, Receipt

At = int | BlockRef
PRIORITY_FEE_WEI_MIN = 1_000_000
INVALID_PARAMS = -32602


class EvmClient(Endpoints):
    """One chain."""

    # --- blocks -------------------------------------------------------------------------------

    async def check_chain_id(self) -> None:
        """Every endpoint that answers must serve this chain. Raises RpcDisagreement."""
        answered = False
        for endpoint in self.endpoints:
            answer = await self._ask(endpoint, [("eth_chainId", [])], _first_quantity)
            if isinstance(answer, RpcUnavailable):
                continue
            answered = True
            if answer != self.chain_id:
                raise RpcDisagreement(
                    "endpoint serves another chain", expected=self.chain_id, got=str(answer)
                )
        if not answered:
            raise RpcUnavailable("no endpoint answers", chain_id=self.chain_id)

    async def block_number(self) -> int:
        """The newest block's number, as one endpoint sees it."""
        return await self._first([("eth_blockNumber", [])], _first_quantity)

    async def height(self) -> int:
        """The newest block's number that a quorum of the endpoints has reached.

        One that is ahead, or boasts, makes it no higher; one that lags makes it no lower.
        """
        if self.quorum == 1:
            return await self.block_number()
        asked = (self._ask(e, [("eth_blockNumber", [])], _first_quantity) for e in self.endpoints)
        heights = sorted(a for a in await asyncio.gather(*asked) if isinstance(a, int))
        if len(heights) < self.quorum:
            raise RpcUnavailable("too few endpoints answer eth_blockNumber", chain_id=self.chain_id)
        return heights[-self.quorum]

    async def header(self, number: int | str) -> Header:
        """A block by number or tag (`latest`, `safe`, `finalized`). Raises RpcUnavailable."""
        tag = hex(number) if isinstance(number, int) else number
        found = await self.agreed(
            [("eth_getBlockByNumber", [tag, False])],
            lambda r: parse.header(r[0]) if r[0] is not None else None,
        )
        if found is None:
            raise RpcUnavailable(f"no block {number}", chain_id=self.chain_id)
        if isinstance(number, int) and found.block.number != number:
            raise RpcDisagreement("endpoint answered with another block", asked=number)
        return found

    async def headers(self, numbers: Sequence[int]) -> list[Header | None]:
        """Blocks by number in one batch; None where the chain is shorter."""
        if not numbers:
            return []
        calls = [("eth_getBlockByNumber", [hex(n), False]) for n in numbers]
        return await self.agreed(
            calls, lambda r: [None if b is None else parse.header(b) for b in r]
        )

    async def block(self, number: int | str) -> BlockRef:
        return (await self.header(number)).block

    async def tagged(self, tag: str) -> BlockRef | None:
        """The block that a tag names; None where every endpoint says that there is no such tag.

        Raises ChainError where one of them fails in another way: it might know.
        """
        try:
            return await self.block(tag)
        except ChainError:
            calls = [("eth_getBlockByNumber", [tag, False])]
            asked = (self._ask(e, calls, lambda r: r) for e in self.endpoints)
            if all(_no_such_tag(a) for a in await asyncio.gather(*asked)):
                return None
            raise

    async def full_block(self, number: int) -> dict[str, Any]:
        """The block as the node gives it, with its transactions. Raises RpcUnavailable."""
        found: dict[str, Any] | None = (await self.batch(full_block_calls(number)))[0]
        if found is None:
            raise RpcUnavailable(f"no block {number}", chain_id=self.chain_id)
        return found

    # --- state --------------------------------------------------------------------------------

    async def call(
        self, to: str, data: bytes, block: At, sender: str | None = None, value: int = 0
    ) -> bytes:
        """The answer of a contract; `value` is wei. Raises CallReverted."""
        message = {"to": to, "data": "0x" + data.hex()}
        if value:
            message["value"] = hex(value)
        if sender is not None:
            message["from"] = sender
        return await self.agreed(
            [("eth_call", [message, block_param(block)])], lambda r: parse.data_bytes(r[0])
        )

    async def calls(self, targets: Sequence[tuple[str, bytes]], block: At) -> list[bytes]:
        """Many `call`s at one block in one round trip."""
        if not targets:
            return []
        at = block_param(block)
        requests = [("eth_call", [{"to": t, "data": "0x" + d.hex()}, at]) for t, d in targets]
        return await self.agreed(requests, lambda r: [parse.data_bytes(a) for a in r])

    async def simulated(
        self, calls: Sequence[Mapping[str, str]], block: BlockRef
    ) -> list[SimulatedCall]:
        """What these calls would do one after another on a block: eth_simulateV1, unsigned.

        Native transfers are among the logs, as of a token at NATIVE_LOGS. Raises ChainError: also
        where the node has no such method.
        """
        body = {"blockStateCalls": [{"calls": list(calls)}], "traceTransfers": True}
        return await self.agreed(
            [("eth_simulateV1", [body, hex(block.number)])],
            lambda r: parse.simulated_calls(r[0], len(calls)),
        )

    async def balance(self, address: str, block: At) -> int:
        """Wei."""
        return await self.agreed(
            [("eth_getBalance", [address, block_param(block)])], _first_quantity
        )

    async def erc20_balance(self, token: str, address: str, block: At) -> int:
        """Base units of a token. Raises UndecodableAnswer where there is no token."""
        data = encode_call("balanceOf(address)", address)
        balance: int = decode_answer(("uint256",), await self.call(token, data, block))[0]
        return balance

    async def nonce(self, address: str, tag: str | At = "latest") -> int:
        """Transactions sent from an address. Only to compare with our own numbering."""
        at = tag if isinstance(tag, str) else block_param(tag)
        return await self._first([("eth_getTransactionCount", [address, at])], _first_quantity)

    async def code(self, address: str, block: At) -> bytes:
        return await self.agreed(
            [("eth_getCode", [address, block_param(block)])], lambda r: parse.data_bytes(r[0])
        )

    async def storage(self, address: str, slot: int, block: At) -> int:
        return await self.agreed(
            [("eth_getStorageAt", [address, hex(slot), block_param(block)])], _first_quantity
        )

    async def logs(
        self,
        first: int,
        last: int,
        addresses: Sequence[str],
        topics: Sequence[str | Sequence[str] | None],
    ) -> tuple[Log, ...]:
        """Events from block `first` to `last`, both included; without `addresses`, of everybody."""
        query: dict[str, Any] = {
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "topics": list(topics),
        }
        if addresses:
            query["address"] = list(addresses)
        return await self.agreed([("eth_getLogs", [query])], lambda r: parse.logs(r[0]))

    # --- transactions -------------------------------------------------------------------------

    async def transaction(self, tx_hash: str) -> dict[str, Any] | None:
        """As the node gives it; pending if `blockNumber` is null; None if it knows none."""
        found: dict[str, Any] | None = await self.request("eth_getTransactionByHash", [tx_hash])
        return found

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt, with the block it is in; None unless both are there and agree."""
        calls: list[tuple[str, Params]] = [("eth_getTransactionReceipt", [tx_hash])]
        number = await self._mined_in(calls)
        if number is None:
            return None
        calls.append(("eth_getBlockByNumber", [hex(number), False]))
        return await self.agreed(calls, lambda r: _receipt_in(r[0], r[1], tx_hash))

    async def _mined_in(self, calls: list[tuple[str, Params]]) -> int | None:
        """The block of a receipt, as most say that know one: one that lags knows none."""
        if self.quorum == 1:
            return await self._first(calls, lambda r: _block_number_of(r[0]))
        asked = (self._ask(e, calls, lambda r: _block_number_of(r[0])) for e in self.endpoints)
        given = [a for a in await asyncio.gather(*asked) if not isinstance(a, ChainError)]
        if len(given) < self.quorum:
            raise RpcUnavailable(f"too few endpoints answer {calls[0][0]}", chain_id=self.chain_id)
        known = Counter(n for n in given if n is not None).most_common(1)
        return known[0][0] if known else None

    async def receipts(self, tx_hashes: Sequence[str], block: BlockRef) -> list[Receipt | None]:
        """Receipts of transactions of one block; None for one that is not in exactly that block."""
        return await self.receipts_in([(h, block) for h in tx_hashes])

    async def receipts_in(self, places: Sequence[tuple[str, BlockRef]]) -> list[Receipt | None]:
        """Receipts of (transaction, its block); None for one that is not in exactly that block."""
        if not places:
            return []
        calls = [("eth_getTransactionReceipt", [h]) for h, _ in places]
        return await self.agreed(
            calls,
            lambda r: [_receipt_at(raw, b, h) for raw, (h, b) in zip(r, places, strict=True)],
        )

    async def estimate_gas(
        self, sender: str, to: str, value: int = 0, data: bytes = b"", **extra: Any
    ) -> int:
        """Gas units at the newest block. Raises CallReverted if it would fail."""
        message = {"from": sender, "to": to, "value": hex(value), "data": "0x" + data.hex()}
        return await self._first([("eth_estimateGas", [{**message, **extra}])], _first_quantity)

    async def base_fee(self) -> int:
        """Wei per gas of the newest block."""
        return (await self.header("latest")).base_fee

    async def fees(self) -> FeeQuote:
        """Room for six full blocks of rising base fee (2x), plus the node's idea of a tip."""
        calls = [("eth_getBlockByNumber", ["latest", False]), ("eth_maxPriorityFeePerGas", [])]
        head, tip = await self._first(
            calls, lambda r: (parse.header(r[0]), parse.quantity(r[1], "tip"))
        )
        tip = max(tip, PRIORITY_FEE_WEI_MIN)
        return FeeQuote(2 * head.base_fee + tip, tip)

    async def send_raw(self, raw: str) -> str:
        """Broadcast signed bytes; their hash. Raises BroadcastError, or RpcUnavailable if they
        certainly never left us.

        Once one endpoint has left it open, nothing that another says settles it but acceptance.
        """
        tx_hash = raw_hash(raw)
        open_: ChainError | None = None
        for endpoint in self._by_health():
            try:
                answer = await endpoint.request("eth_sendRawTransaction", [raw])
            except NotSent:
                continue
            except RpcUnavailable as error:
                open_ = error
                continue
            if answer == tx_hash:
                return tx_hash
            if not isinstance(answer, RpcError):
                raise AmbiguousBroadcast("node answered with another hash", tx_hash=tx_hash)
            if open_ is None:
                raise refusal(answer, tx_hash)
        if open_ is None:
            raise RpcUnavailable("no endpoint took the transaction", tx_hash=tx_hash)
        raise AmbiguousBroadcast(open_.detail, tx_hash=tx_hash) from open_


def _no_such_tag(answer: object) -> bool:
    """Of a call whose one variable parameter is a tag: only that can be what is invalid."""
    return isinstance(answer, RpcRefused) and answer.code == INVALID_PARAMS


def block_param(block: At) -> Any:
    """The block as JSON-RPC names it (EIP-1898 for a `BlockRef`)."""
    if isinstance(block, BlockRef):
        return {"blockHash": block.hash, "requireCanonical": True}
    return hex(block)


def full_block_calls(number: int) -> list[tuple[str, Params]]:
    return [("eth_getBlockByNumber", [hex(number), True])]


def _first_quantity(results: list[Any]) -> int:
    return parse.quantity(results[0])


def _block_number_of(raw: Any) -> int | None:
    if raw is None:
        return None
    return parse.quantity(parse.mapping(raw, "receipt").get("blockNumber"), "blockNumber")


def _receipt_in(raw: Any, block: Any, tx_hash: str) -> Receipt | None:
    """A receipt against the block of its number; None while a reorg moves it."""
    if raw is None or block is None:
        return None
    return _receipt_at(raw, parse.header(block).block, tx_hash)


def _receipt_at(raw: Any, block: BlockRef, tx_hash: str) -> Receipt | None:
    if raw is None:
        return None
    body = parse.mapping(raw, "receipt")
    if hash_hex(body.get("transactionHash")) != tx_hash.lower():
        raise ValueError("receipt of another transaction")
    if hash_hex(body.get("blockHash")) != block.hash:
        return None
    to = body.get("to")
    return Receipt(
        tx_hash=tx_hash.lower(),
        block=block,
        status=parse.quantity(body.get("status"), "status"),
        gas_used=parse.quantity(body.get("gasUsed"), "gasUsed"),
        effective_gas_price=parse.quantity(body.get("effectiveGasPrice"), "effectiveGasPrice"),
        logs=parse.logs(body.get("logs")),
        sender=checksum(str(body.get("from"))),
        to=None if to is None else checksum(str(to)),
    )
