"""A solvency epoch on paper, made by the document alone: tree, statements, reserves, report."""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_keys.datatypes import PrivateKey
from eth_utils.address import to_checksum_address

from custody.core import canonical
from custody.core.ids import format_id
from tests.custody.audit.verifier import paper_anchor
from tests.custody.audit.verifier.paper_chain import PaperAccount, PaperChain, block
from tests.custody.audit.verifier.paper_log import ORIGIN, TENANT, PaperLog
from tests.fixtures.tries import keccak256

CHAIN, SECOND = 31337, 31338
COIN = f"eip155:{CHAIN}/slip44:60"
TOKEN_ADDRESS = "0x" + "7" * 40
TOKEN = f"eip155:{SECOND}/erc20:{TOKEN_ADDRESS}"
SHARE = "share:" + "ab" * 16
ASSETS = sorted([COIN, TOKEN, SHARE])
PRICE = 10**27 + 1
ENTITY = f"{ORIGIN}/{format_id('tenant', TENANT)}"
SECRET = b"\x05" * 32
DEPTH = 10
EARLY, MOMENT = 1_799_000_000, 1_800_000_000
KEYS = [PrivateKey(bytes([i]) * 32) for i in (1, 2, 3, 4)]
HOT = KEYS[0].public_key.to_address()
OWNERS = sorted(KEYS[1:3], key=lambda k: str(k.public_key.to_address()))
ALLOCATOR = KEYS[3]
SAFE, GUARD = "0x" + "5a" * 20, "0x" + "6b" * 20
GUARD_SLOT = 15


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def mac(*parts: bytes) -> bytes:
    return hmac.new(SECRET, b"".join(parts), hashlib.sha256).digest()


def pad(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\0")


def packed(sums: list[int]) -> bytes:
    return b"".join(s.to_bytes(16, "big") for s in sums)


Node = tuple[bytes, list[int]]


def parent(left: Node, right: Node) -> Node:
    hash_ = sha(b"\x11", left[0], right[0], packed(left[1]), packed(right[1]))
    return hash_, [a + b for a, b in zip(left[1], right[1], strict=True)]


@dataclass
class Epoch:
    """`owed` are balances by customer, in the order of ASSETS. What a test changes before `make`
    shows in everything that is made."""

    number: int = 1
    owed: dict[str, list[int]] = field(
        default_factory=lambda: {f"cus_{i:032x}": [i * 10**15, i * 5, i * 7] for i in range(1, 40)}
    )
    log: PaperLog = field(default_factory=PaperLog)
    window: int = 32
    told: bytes | None = None
    """The challenge block's hash by the operator's word, where that is not the chain's."""
    opened_late: bool = False
    """The chain held the log's head from before the opening only."""

    def make(self) -> "Epoch":
        self._open()
        return self.finish()

    def finish(self) -> "Epoch":
        """All that follows the opening."""
        self._tree()
        self._chains()
        self.report = self._report()
        self._publish()
        return self

    # -- the log ----------------------------------------------------------------------------------

    def _open(self) -> None:
        self.block_number = 100
        self.commitment = "sha256:" + sha(b"\x17", SECRET).hex()
        opened = {
            "entity": ENTITY,
            "epoch": str(self.number),
            "commitment": self.commitment,
            "chain_id": str(CHAIN),
            "block_number": str(self.block_number),
            "window": str(self.window),
            "floors": {str(CHAIN): "90", str(SECOND): "50"},
        }
        for i in range(3):
            self.log.add_free("noted", {"i": str(i)})
        older = self.log.sign()
        self.opened_at = self.log.add_free("solvency.opened", opened)
        self.log.add_free("noted", {"i": "3"})
        self.anchored_head = self.log.sign()
        self.held_head = older if self.opened_late else self.anchored_head
        self._draw()

    def _draw(self) -> None:
        """The block before the challenge's, whose state has the anchor; its child is the draw."""
        self.then = paper_anchor.world(self.held_head)
        before = self.then.header(self.block_number - 1, EARLY)
        self.way = [before, self.then.header(self.block_number, EARLY + 1, keccak256(before))]
        self.block_hash = self.told or keccak256(self.way[1])
        middle = b"".join(n.to_bytes(8, "big") for n in (CHAIN, self.block_number, self.number))
        self.challenge = sha(b"\x12", self.block_hash, middle, ENTITY.encode())
        self.pinned = (
            self.block_number + 1 + int.from_bytes(self.challenge[:8], "big") % self.window
        )
        self.context: dict[str, Any] = {
            "schema": "moorage.solvency.context/1",
            "entity": ENTITY,
            "epoch": str(self.number),
            "challenge": "0x" + self.challenge.hex(),
            "assets": ASSETS,
            "prices": [
                {"share": SHARE, "asset": TOKEN, "price_ray": str(PRICE), "block_number": "9"}
            ],
        }
        self.context_hash = sha(b"\x13", canonical.encode(self.context))

    def _publish(self) -> None:
        published = {
            "entity": ENTITY,
            "epoch": str(self.number),
            "commitment": self.commitment,
            "challenge": "0x" + self.challenge.hex(),
            "block_hash": "0x" + self.block_hash.hex(),
            "context": "sha256:" + self.context_hash.hex(),
            "root": "0x" + self.root[0].hex(),
            "depth": str(DEPTH),
            "assets": ASSETS,
            "sums": [str(s) for s in self.root[1]],
            "report": "sha256:" + canonical.sha256_hex(self.report),
            "pinned": {c["chain_id"]: c["block"]["hash"] for c in self.report["chains"]},
        }
        self.published_at = self.log.add_free("solvency.published", published)
        self.head = self.log.sign()
        self.anchor = paper_anchor.document(self.head)

    # -- what is owed -----------------------------------------------------------------------------

    def salt(self, customer: str) -> bytes:
        return mac(b"\x15", self.context_hash, bytes.fromhex(customer[4:]))

    def leaf_id(self, customer: str) -> bytes:
        return sha(b"\x14", self.context_hash, self.salt(customer), customer.encode())

    def _tree(self) -> None:
        ids = {self.leaf_id(c): balances for c, balances in self.owed.items()}
        for i in range((1 << DEPTH) - len(ids)):
            ids[mac(b"\x16", self.context_hash, i.to_bytes(8, "big"))] = [0] * len(ASSETS)
        self.order = sorted(ids)
        level: list[Node] = [(sha(b"\x10", i, packed(ids[i])), ids[i]) for i in self.order]
        self.levels = [level]
        while len(level) > 1:
            level = [parent(a, b) for a, b in zip(level[::2], level[1::2], strict=True)]
            self.levels.append(level)
        self.root = level[0]

    def me(self, customer: str) -> dict[str, Any]:
        """moorage.solvency.me/1."""
        index = self.order.index(self.leaf_id(customer))
        path = [self.levels[i][(index >> i) ^ 1] for i in range(DEPTH)]
        return {
            "schema": "moorage.solvency.me/1",
            "context": self.context,
            "customer": customer,
            "salt": "0x" + self.salt(customer).hex(),
            "index": str(index),
            "depth": str(DEPTH),
            "balances": [str(b) for b in self.owed[customer]],
            "path": [{"hash": "0x" + h.hex(), "sums": [str(s) for s in sums]} for h, sums in path],
            **self._logged(),
        }

    def _logged(self) -> dict[str, Any]:
        return {
            "opened": self.log.logged(self.opened_at, self.head),
            "published": self.log.logged(self.published_at, self.head),
            "anchor": self.anchor,
        }

    # -- what is there ----------------------------------------------------------------------------

    def _chains(self) -> None:
        owner_slots = {
            int.from_bytes(
                keccak256(pad(k.public_key.to_address()) + (2).to_bytes(32, "big")), "big"
            )
            for k in OWNERS
        }
        safe = {4: 2, **dict.fromkeys(owner_slots, 1)}
        guard = {GUARD_SLOT: int(ALLOCATOR.public_key.to_address(), 16) | 1 << 200}
        self.held = {"hot": 10**18, "cold": 10**6, "guard": 10**5}
        of_safe = int.from_bytes(keccak256((9).to_bytes(32, "big") + pad(SAFE)), "big")
        token = {of_safe: self.held["cold"] | 1 << 255}
        self.first = PaperChain(
            {HOT: PaperAccount(balance=self.held["hot"]), "0x" + "1" * 40: PaperAccount()}
        )
        self.second = PaperChain(
            {
                SAFE: PaperAccount(storage=safe),
                GUARD: PaperAccount(storage=guard),
                TOKEN_ADDRESS: PaperAccount(storage=token),
            }
        )
        self.of_safe = of_safe
        for number in range(self.block_number + 1, self.pinned):
            parent = keccak256(self.way[-1])
            self.way.append(self.then.header(number, EARLY + number, parent))
        parent = keccak256(self.way[-1])
        self.headers = {
            CHAIN: self._pair(self.first, self.pinned, MOMENT, parent),
            SECOND: self._pair(self.second, 777, MOMENT - 3),
        }
        self.way.append(self.headers[CHAIN][0])

    def _pair(
        self, chain: PaperChain, number: int, time: int, parent: bytes = b"\x01" * 32
    ) -> tuple[bytes, bytes]:
        header = chain.header(number, time, parent)
        return header, chain.header(number + 1, time + 12, keccak256(header))

    @property
    def blocks(self) -> dict[int, str]:
        return {c: "0x" + keccak256(h).hex() for c, (h, _) in self.headers.items()}

    def statement(self, chain_id: int, address: str, by: str) -> bytes:
        return "\n".join(
            (
                "Moorage statement of ownership",
                "This signature moves no money and authorises nothing.",
                f"entity: {ENTITY}",
                f"epoch: {self.number}",
                f"challenge: 0x{self.challenge.hex()}",
                f"chain: {chain_id}",
                f"address: {to_checksum_address(address)}",
                f"by: {to_checksum_address(by)}",
            )
        ).encode()

    def _says(self, key: PrivateKey, chain_id: int, address: str) -> str:
        text = self.statement(chain_id, address, key.public_key.to_address())
        return "0x" + bytes(Account.sign_message(encode_defunct(text), key).signature).hex()

    def _owners(self) -> list[dict[str, Any]]:
        return [
            {
                "chain_id": str(CHAIN),
                "address": to_checksum_address(HOT),
                "kind": "key",
                "by": to_checksum_address(HOT),
                "signature": self._says(KEYS[0], CHAIN, HOT),
            },
            self._safe_owner(),
            {
                "chain_id": str(SECOND),
                "address": to_checksum_address(GUARD),
                "kind": "guard",
                "by": ALLOCATOR.public_key.to_checksum_address(),
                "signature": self._says(ALLOCATOR, SECOND, GUARD),
                "account": self._account(self.second, GUARD),
                "slot": self._slot(self.second, GUARD, GUARD_SLOT),
            },
        ]

    def _safe_owner(self) -> dict[str, Any]:
        text = self.statement(SECOND, SAFE, SAFE)
        inner = keccak256(b"\x19Ethereum Signed Message:\n%d" % len(text) + text)
        domain_type = keccak256(b"EIP712Domain(uint256 chainId,address verifyingContract)")
        domain = keccak256(domain_type + SECOND.to_bytes(32, "big") + pad(SAFE))
        struct = keccak256(keccak256(b"SafeMessage(bytes message)") + keccak256(inner))
        digest = keccak256(b"\x19\x01" + domain + struct)
        signatures = []
        for key in OWNERS:
            address = key.public_key.to_address()
            raw = key.sign_msg_hash(digest).to_bytes()
            slot = int.from_bytes(keccak256(pad(address) + (2).to_bytes(32, "big")), "big")
            signatures.append(
                {
                    "owner": to_checksum_address(address),
                    "signature": "0x" + (raw[:64] + bytes([raw[64] + 27])).hex(),
                    "slot": self._slot(self.second, SAFE, slot),
                }
            )
        return {
            "chain_id": str(SECOND),
            "address": to_checksum_address(SAFE),
            "kind": "safe",
            "by": to_checksum_address(SAFE),
            "account": self._account(self.second, SAFE),
            "threshold": self._slot(self.second, SAFE, 4),
            "signatures": signatures,
        }

    def _account(self, chain: PaperChain, address: str) -> dict[str, Any]:
        return {
            "address": to_checksum_address(address),
            **self._shared(chain.account(address), chain),
        }

    def _slot(self, chain: PaperChain, address: str, slot: int) -> dict[str, Any]:
        return self._shared(chain.slot(address, slot), chain)

    def _shared(self, shown: dict[str, Any], chain: PaperChain) -> dict[str, Any]:
        """Without its own proof, whose nodes the chain's member of the report has."""
        self.nodes[CHAIN if chain is self.first else SECOND] |= set(shown.pop("proof"))
        return shown

    def _reserves(self) -> list[dict[str, Any]]:
        hot = {"kind": "account", "account": self._account(self.first, HOT)}
        cold = {
            "kind": "storage",
            "account": self._account(self.second, TOKEN_ADDRESS),
            "slot": self._slot(self.second, TOKEN_ADDRESS, self.of_safe),
            "mapping": "9",
            "form": "vyper",
            "bits": "255",
        }
        read = {"kind": "read", "call": "erc4626", "token": "0x" + "8" * 40}
        stated = {"kind": "stated", "by": "exchange/earn"}
        deployed = {"venue": "vault", "tier": "bonds"}
        rows = [
            (CHAIN, "", COIN, "exchange", "asset:exchange", 5 * 10**17, stated, deployed),
            (CHAIN, HOT, COIN, "hot", "asset:treasury@1", self.held["hot"], hot, {}),
            (SECOND, SAFE, TOKEN, "cold", "asset:cold@2", self.held["cold"], cold, {}),
            (SECOND, GUARD, TOKEN, "deployed", "asset:venue@2", self.held["guard"], read, deployed),
        ]
        return [
            {
                "chain_id": str(chain_id),
                "address": to_checksum_address(address) if address else "",
                "asset": asset,
                "class": class_,
                "place": place,
                "amount": str(amount),
                "counted": True,
                "evidence": evidence,
                **more,
            }
            for chain_id, address, asset, class_, place, amount, evidence, more in sorted(
                rows, key=lambda r: r[:3]
            )
        ]

    def totals(self, reserves: list[dict[str, Any]]) -> list[dict[str, Any]]:
        sums = dict(zip(ASSETS, self.root[1], strict=True))
        lines = []
        for asset in sorted((COIN, TOKEN)):
            owed = sums[asset]
            if asset == TOKEN:
                owed += -(-sums[SHARE] * PRICE // 10**27)
            of = dict.fromkeys(("hot", "cold", "deployed", "exchange"), 0)
            for line in reserves:
                if line["asset"] == asset and line["counted"]:
                    of[line["class"]] += int(line["amount"])
            there = sum(of.values())
            lines.append(
                {
                    "asset": asset,
                    "owed": str(owed),
                    **{k: str(v) for k, v in of.items()},
                    "reserves": str(there),
                    "covered": there >= owed,
                    "ratio_ppm": str(there * 10**6 // owed) if owed else "",
                    "cash_ratio_ppm": str((of["hot"] + of["cold"]) * 10**6 // owed) if owed else "",
                }
            )
        return lines

    def challenge_json(self) -> dict[str, Any]:
        """With what shows that nobody chose the block."""
        anchored = paper_anchor.document(
            self.held_head, chain=self.then, number=self.block_number - 1, time=EARLY
        )
        found = self.log.logged(self.opened_at, self.anchored_head)
        return {
            "chain_id": str(CHAIN),
            "block_number": str(self.block_number),
            "block_hash": "0x" + self.block_hash.hex(),
            "window": str(self.window),
            "headers": ["0x" + header.hex() for header in self.way],
            "anchored": anchored,
            "inclusion": {n: found[n] for n in ("index", "size", "leaf_hash", "hashes")},
        }

    def _report(self) -> dict[str, Any]:
        self.nodes: dict[int, set[str]] = {CHAIN: set(), SECOND: set()}
        owners, reserves = self._owners(), self._reserves()
        chains = [
            {
                "chain_id": str(c),
                "block": block(header),
                "child": "0x" + child.hex(),
                "nodes": sorted(self.nodes[c]),
            }
            for c, (header, child) in sorted(self.headers.items())
        ]
        return {
            "schema": "moorage.solvency/1",
            "context": self.context,
            "commitment": self.commitment,
            "challenge": self.challenge_json(),
            "root": "0x" + self.root[0].hex(),
            "depth": str(DEPTH),
            "sums": [str(s) for s in self.root[1]],
            "chains": chains,
            "owners": owners,
            "reserves": reserves,
            "totals": self.totals(reserves),
            "left_out": [{"place": "asset:old", "asset": COIN, "reason": "closed"}],
        }

    def file(self, report: dict[str, Any] | None = None) -> dict[str, Any]:
        """moorage.solvency.file/1; another report is published as if it were the right one."""
        if report is not None:
            self.report = report
            self._publish()
        return {
            "schema": "moorage.solvency.file/1",
            "report": self.report,
            **self._logged(),
        }
