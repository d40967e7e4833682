"""The few JSON-RPC calls that the devnet needs: synchronous, for tests and set-up only.

Amounts are ints in base units. Accounts are Anvil's unlocked ones, so nothing is signed here.
"""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

ZERO = "0x" + "00" * 20
RPC_TIMEOUT_S = 30.0
RECEIPT_TIMEOUT_S = 60.0
ACCRUAL_GAS = 200_000


class DevnetError(RuntimeError):
    """A devnet step failed; the message says which and carries the node's answer."""


def rpc(rpc_url: str, method: str, *params: Any) -> Any:
    """Ask the node; raises DevnetError on a JSON-RPC error, OSError if nobody answers."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
    request = urllib.request.Request(
        rpc_url, body.encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=RPC_TIMEOUT_S) as response:
        answer = json.load(response)
    if "error" in answer:
        raise DevnetError(f"{method}: {answer['error']}")
    return answer["result"]


def _types_in(signature: str) -> list[str]:
    """`f(a,(b,c)[])` -> ["a", "(b,c)[]"]."""
    inner = signature[signature.index("(") + 1 : signature.rindex(")")]
    types: list[str] = []
    depth, word = 0, ""
    for char in inner:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            types.append(word)
            word = ""
        else:
            word += char
    return [*types, word] if word else types


def encode_call(signature: str, *args: Any) -> str:
    """Calldata, 0x-prefixed, of a call such as `transfer(address,uint256)`."""
    return "0x" + (keccak(text=signature)[:4] + encode(_types_in(signature), args)).hex()


def call(
    rpc_url: str, to: str, signature: str, *args: Any, returns: str, block: str = "latest"
) -> tuple[Any, ...]:
    """Read a contract at `block`. `returns` is the tuple of types, e.g. `(uint256,address)`."""
    data = rpc(rpc_url, "eth_call", {"to": to, "data": encode_call(signature, *args)}, block)
    return tuple(decode(_types_in(returns), bytes.fromhex(data[2:])))


def call_uint(rpc_url: str, to: str, signature: str, *args: Any) -> int:
    """Read one uint256."""
    return int(call(rpc_url, to, signature, *args, returns="(uint256)")[0])


def call_address(rpc_url: str, to: str, signature: str, *args: Any) -> str:
    """Read one address, checksummed."""
    return to_checksum_address(call(rpc_url, to, signature, *args, returns="(address)")[0])


@contextmanager
def instant_mining(rpc_url: str) -> Iterator[None]:
    """Mine every transaction at once while the block runs, then at the old interval again."""
    interval = rpc(rpc_url, "anvil_getIntervalMining")
    if not interval:
        yield
        return
    rpc(rpc_url, "evm_setIntervalMining", 0)
    rpc(rpc_url, "evm_setAutomine", True)
    try:
        yield
    finally:
        rpc(rpc_url, "evm_setAutomine", False)
        rpc(rpc_url, "evm_setIntervalMining", interval)


@contextmanager
def impersonated(rpc_url: str, account: str) -> Iterator[None]:
    """Let the node sign for `account` while the block runs; it gets a thousand ether for gas."""
    rpc(rpc_url, "anvil_impersonateAccount", account)
    rpc(rpc_url, "anvil_setBalance", account, hex(1_000 * 10**18))
    try:
        yield
    finally:
        rpc(rpc_url, "anvil_stopImpersonatingAccount", account)


def wait_receipt(rpc_url: str, tx_hash: str) -> dict[str, Any]:
    """Wait until the transaction is mined; raises DevnetError if it reverted."""
    deadline = time.monotonic() + RECEIPT_TIMEOUT_S
    while time.monotonic() < deadline:
        receipt: dict[str, Any] | None = rpc(rpc_url, "eth_getTransactionReceipt", tx_hash)
        if receipt is not None:
            if receipt["status"] != "0x1":
                raise DevnetError(f"transaction {tx_hash} reverted")
            return receipt
        time.sleep(0.01)
    raise DevnetError(f"transaction {tx_hash} was not mined in {RECEIPT_TIMEOUT_S} s")


def submit(
    rpc_url: str,
    sender: str,
    to: str | None,
    data: str,
    *,
    value: int = 0,
    gas: int | None = None,
) -> str:
    """Send from an unlocked account; returns the hash without waiting. `value` is in wei.

    Without `gas` the node's estimate is taken with half as much again and some: interest accrues
    between the estimate and the block, and a bare estimate then runs out, above all one of a call
    that only accrues it.
    """
    transaction = {"from": sender, "data": data, "value": hex(value)}
    if to is not None:
        transaction["to"] = to
    if gas is None:
        gas = int(rpc(rpc_url, "eth_estimateGas", transaction), 16) * 3 // 2 + ACCRUAL_GAS
    transaction["gas"] = hex(gas)
    return str(rpc(rpc_url, "eth_sendTransaction", transaction))


def send(
    rpc_url: str, sender: str, to: str, signature: str, *args: Any, value: int = 0
) -> dict[str, Any]:
    """Call a contract from an unlocked account and wait for the receipt."""
    data = encode_call(signature, *args)
    try:
        return wait_receipt(rpc_url, submit(rpc_url, sender, to, data, value=value))
    except DevnetError as error:
        raise DevnetError(f"{signature} at {to}: {error}") from error


@dataclass(frozen=True)
class Artifact:
    """Creation code of a compiled contract, with the places where library addresses go."""

    name: str
    bytecode: str
    link_references: dict[str, list[dict[str, int]]]
    constructor_types: tuple[str, ...]

    @classmethod
    def load(cls, path: Path) -> "Artifact":
        """Read a Foundry, Hardhat or Truffle artifact."""
        data = json.loads(path.read_text())
        code, references = data["bytecode"], data.get("linkReferences", {})
        if isinstance(code, dict):
            code, references = code["object"], code["linkReferences"]
        flat = {name: spots for file in references.values() for name, spots in file.items()}
        constructors = (e["inputs"] for e in data["abi"] if e["type"] == "constructor")
        inputs: list[Any] = next(constructors, [])
        types = tuple(collapse_if_tuple(item) for item in inputs)
        return cls(path.stem, code.removeprefix("0x"), flat, types)

    def creation_code(self, args: tuple[Any, ...], libraries: dict[str, str]) -> str:
        """Linked code followed by the encoded constructor arguments, 0x-prefixed."""
        code = self.bytecode
        for name, spots in self.link_references.items():
            for spot in spots:
                start = spot["start"] * 2
                code = code[:start] + libraries[name][2:].lower() + code[start + 40 :]
        return "0x" + code + encode(list(self.constructor_types), args).hex()


def deploy(
    rpc_url: str,
    sender: str,
    artifact: Artifact,
    *args: Any,
    libraries: dict[str, str] | None = None,
    value: int = 0,
) -> str:
    """Deploy from an unlocked account; returns the checksummed address."""
    code = artifact.creation_code(args, libraries or {})
    try:
        receipt = wait_receipt(rpc_url, submit(rpc_url, sender, None, code, value=value))
    except DevnetError as error:
        raise DevnetError(f"deploying {artifact.name}: {error}") from error
    return to_checksum_address(receipt["contractAddress"])


class Deployer:
    """One account that puts one project's contracts on chain, by name.

    Libraries are deployed before the first contract that needs them, each once.
    """

    def __init__(self, rpc_url: str, account: str, artifact: Callable[[str], Artifact]) -> None:
        self.rpc_url, self.account, self._artifact = rpc_url, account, artifact
        self._libraries: dict[str, str] = {}

    def deploy(self, name: str, *args: Any) -> str:
        """Returns the checksummed address."""
        artifact = self._artifact(name)
        for library in artifact.link_references:
            if library not in self._libraries:
                self._libraries[library] = self.deploy(library)
        return deploy(self.rpc_url, self.account, artifact, *args, libraries=self._libraries)

    def send(self, to: str, signature: str, *args: Any) -> None:
        """Call a contract from the account and wait."""
        send(self.rpc_url, self.account, to, signature, *args)

    def address(self, to: str, signature: str, *args: Any) -> str:
        """Read an address from a contract, checksummed."""
        return call_address(self.rpc_url, to, signature, *args)

    def create(self, factory: str, signature: str, *args: Any) -> str:
        """Let a factory make a contract; asked first, it answers with the address it will give."""
        made = self.address(factory, signature, *args)
        self.send(factory, signature, *args)
        return made
