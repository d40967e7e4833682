"""What outsiders do on the chain in a random sequence, and what each of it is worth."""

import random
from dataclasses import dataclass, field

from chains.devnet.rpc import call_uint, encode_call, rpc
from chains.devnet.tokens import Token
from chains.evm.address import checksum
from chains.evm.calldata import topic
from custody.core.ids import CustomerId
from custody.core.money import AssetId, erc20_asset
from tests.fixtures.town import ETHER, Town

SEND_ON = "0x6000600060006000346000355af1"
"""Sends the value it gets to the address in the first word of its input."""
SENDER_ON, UNDOER, FORGER, LIAR = (checksum("0x" + x * 20) for x in ("d1", "d2", "d3", "d4"))
MINIMUM_NATIVE, MINIMUM_USDC, LARGE_USDC = 10_000, 1_000, 5_000 * 10**6
GWEI = 10**9
"""Native amounts vary in it, so that some are worth their sweep and some are not."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One transaction of an outsider; `parts` are the arrivals that it claims, if it is mined."""

    tx_hash: str
    parts: tuple[tuple[AssetId, str, int], ...] = ()


@dataclass
class Outsiders:
    """Pays in, in every way there is. `payments` is all that was ever sent."""

    town: Town
    chance: random.Random
    native: dict[str, CustomerId]
    token: dict[str, CustomerId]
    payments: list[Payment] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.town.anvil.rpc_url

    def prepare(self) -> None:
        """Contracts without a source: they stand where nothing stood."""
        event = topic("Transfer(address,address,uint256)")[2:]
        forge = "6040356000526020356000357f" + event + "60206000a300"
        codes = {
            SENDER_ON: SEND_ON + "00",
            UNDOER: SEND_ON + "60006000fd",
            FORGER: "0x" + forge,
            LIAR: "0x60006000526020" + "6000f3",
        }
        for address, code in codes.items():
            rpc(self.url, "anvil_setCode", address, code)

    def pay(self, kind: str, units: int) -> None:
        """Send one deposit of a kind; `units` makes its amount."""
        native, token = self._pick(self.native), self._pick(self.token)
        eth, world = self.town.eth, self.town.world
        match kind:
            case "native":
                amount = MINIMUM_NATIVE + units * GWEI
                self._native(native, amount, [(eth, native, amount)])
            case "by a contract":
                told = bytes(12) + bytes.fromhex(native[2:])
                amount = MINIMUM_NATIVE + units * GWEI
                self._call(SENDER_ON, "0x" + told.hex(), amount, [(eth, native, amount)])
            case "call undone":
                told = bytes(12) + bytes.fromhex(native[2:])
                calls = [(UNDOER, True, units, told), (native, False, 20_000, b"")]
                data = encode_call("aggregate3Value((address,bool,uint256,bytes)[])", calls)
                self._call(world.multicall3, data, units + 20_000, [(eth, native, 20_000)])
            case "transaction undone":
                told = bytes(12) + bytes.fromhex(native[2:])
                self._call(UNDOER, "0x" + told.hex(), units, [])
            case "nothing":
                self._native(native, 0, [])
                self._token(world.tokens["USDC"], token, 0, [])
            case "native dust":
                amount = 1 + units % (MINIMUM_NATIVE - 1)
                self._native(native, amount, [(eth, native, amount)])
            case "usdc":
                self._token(world.tokens["USDC"], token, MINIMUM_USDC + units)
            case "usdc dust":
                self._token(world.tokens["USDC"], token, 1 + units % (MINIMUM_USDC - 1))
            case "usdc large":
                self._token(world.tokens["USDC"], token, LARGE_USDC + units)
            case "two at once":
                other = self._pick(self.native)
                calls = [(native, False, 30_000, b""), (other, False, 30_000 + units, b"")]
                data = encode_call("aggregate3Value((address,bool,uint256,bytes)[])", calls)
                parts = [(eth, native, 30_000), (eth, other, 30_000 + units)]
                self._call(world.multicall3, data, 60_000 + units, parts)
            case "to the other branch":
                amount = MINIMUM_NATIVE + units * GWEI
                self._native(token, amount, [(eth, token, amount)])
                self._token(world.tokens["USDC"], native, MINIMUM_USDC + units)
            case "no return":
                self._token(world.odd_tokens.no_return, token, 1 + units)
            case "fee":
                self._token(world.odd_tokens.fee_on_transfer, token, 1 + units)
            case "rebasing":
                self._token(world.odd_tokens.rebasing, token, 1 + units)
            case "false return":
                data = encode_call("transfer(address,uint256)", token, units)
                self._call(LIAR, data, 0, [])
            case "unlisted":
                self._token(world.tokens["TDAI"], token, 1 + units, [])
            case "forged event":
                words = (bytes(12) + bytes.fromhex(x[2:]) for x in (world.accounts.whale, token))
                self._call(FORGER, "0x" + (b"".join(words) + units.to_bytes(32)).hex(), 0, [])
            case "operator's own":
                raise AssertionError("paid by the machine, which knows the wallets")

    def pay_operator(self, wallet: str, units: int) -> None:
        self._native(wallet, units, [(self.town.eth, wallet, units)])

    def rebase(self, direction: str) -> None:
        """All balances of the rebasing token a thousandth up or down: more is no drift."""
        token = self.town.world.odd_tokens.rebasing.address
        supply = call_uint(self.url, token, "totalSupply()")
        changed = supply * (1001 if direction == "rebase up" else 999) // 1000
        self._send(token, encode_call("rebase(uint256)", changed), 0, [])

    def _pick(self, addresses: dict[str, CustomerId]) -> str:
        return self.chance.choice(sorted(addresses))

    def _native(self, to: str, amount: int, parts: list[tuple[AssetId, str, int]]) -> None:
        self._send(to, "0x", amount, parts)

    def _call(self, to: str, data: str, value: int, parts: list[tuple[AssetId, str, int]]) -> None:
        self._send(to, data, value, parts)

    def _token(
        self,
        token: Token,
        to: str,
        amount: int,
        parts: list[tuple[AssetId, str, int]] | None = None,
    ) -> None:
        """`parts` None: the very amount. Of a measured token the oracle finds out what arrived."""
        asset = erc20_asset(self.town.chain_id, token.address)
        data = encode_call("transfer(address,uint256)", to, amount)
        claimed = [(asset, to, amount)] if parts is None else parts
        self._send(token.address, data, 0, claimed)

    def _send(self, to: str, data: str, value: int, parts: list[tuple[AssetId, str, int]]) -> None:
        whale = self.town.world.accounts.whale
        tx = rpc(self.url, "eth_sendTransaction", {
            "from": whale, "to": to, "data": data, "value": hex(value), "gas": hex(600_000),
        })  # fmt: skip
        self.payments.append(Payment(tx, tuple(parts)))


def top_up(town: Town) -> None:
    """The whale never runs dry."""
    rpc(town.anvil.rpc_url, "anvil_setBalance", town.world.accounts.whale, hex(10**6 * ETHER))
