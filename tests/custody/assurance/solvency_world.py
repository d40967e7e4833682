"""One entity's epoch made by hand: keys, two chains with a state, a log, a tree. Nothing is read.

A test changes one thing before it is made (`Plan`) or after (the files are plain JSON), the way an
operator would who has something to hide, and sees which check objects.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chains.evm import rlp
from chains.evm.address import address_bytes, address_from_public_key, keccak
from chains.evm.balance_slots import SOLIDITY, BalanceMapping
from custody.assurance.solvency import layout, report, tree
from custody.assurance.solvency.layout import Context, Node, SharePriceLine
from custody.audit import merkle, note, proof
from custody.core import canonical
from custody.core.ids import format_id
from custody.core.ownership import Statement
from tests.fixtures.tries import Trie

Json = dict[str, Any]
ORIGIN = "log.example"
TENANT = UUID(int=0xE)
ENTITY = f"{ORIGIN}/{format_id('tenant', TENANT)}"
TOKEN = "0x" + "a0" * 20
USDC, ETH = "eip155:1/erc20:" + TOKEN, "eip155:1/slip44:60"
ETH_2, SHARE = "eip155:2/slip44:60", "share:" + "5" * 32
ASSETS = tuple(sorted((USDC, ETH, ETH_2, SHARE)))
ALICE, BOB, CAROL = (UUID(bytes=bytes([n]) * 16) for n in (0xA1, 0xB2, 0xC3))
HOT, TREASURY = PrivateKey(b"\x01" * 32), PrivateKey(b"\x02" * 32)
VENUE = "0x" + "BB" * 20
MAPPING = BalanceMapping(9, SOLIDITY, 255)
RAY = layout.RAY
LOG_KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
VKEY = note.LogKey(ORIGIN, LOG_KEY.public_key().public_bytes_raw()).vkey()

Parent = Callable[[Node, Node], Node]


def address(key: PrivateKey) -> str:
    return address_from_public_key(key.public_key.format(compressed=False))


def signature(key: PrivateKey, digest: bytes) -> str:
    raw = key.sign_recoverable(digest, hasher=None)
    return "0x" + raw[:64].hex() + f"{27 + raw[64]:02x}"


def customers() -> dict[UUID, dict[str, int]]:
    return {
        ALICE: {USDC: 1_000, ETH: 5, SHARE: 2_000},
        BOB: {USDC: 50, ETH_2: 7},
        CAROL: {},
    }


@dataclass
class Plan:
    """What the operator sets out to do; as it stands, all of it is honest."""

    epoch: int = 1
    secret: bytes = b"\x55" * 32
    challenge_hash: bytes = b"\x66" * 32
    owed: dict[UUID, dict[str, int]] = field(default_factory=customers)
    parent: Parent = layout.parent
    price_ray: int = 2 * RAY
    number: int | None = None
    """Of chain 1's pinned block, where it is not the challenge's."""
    time_2: int = 1_000
    """Of chain 2's pinned block; the one after it is 12 s younger."""


class Epoch:
    """Made of a plan: `file` for `solvency`, `own` for `me`."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.plan = plan = plan or Plan()
        challenge = layout.challenge_of(plan.challenge_hash, 1, 100, plan.epoch, ENTITY)
        prices = (SharePriceLine(SHARE, USDC, plan.price_ray, 90),)
        self.context = Context(ENTITY, plan.epoch, challenge, ASSETS, prices)
        self.chains = {"1": self._chain_1(challenge), "2": _chain(2, 60, plan.time_2, _state_2())}
        self._grow()
        self.report = self._report()
        self.published = self._published()
        self.log: list[Json] = [self._entry(0, "solvency.opened", self._opened())]
        self.log.append(self._entry(1, "solvency.published", self.published))

    # --- what is given out ----------------------------------------------------------------------

    @property
    def file(self) -> Json:
        head = {"schema": "moorage.solvency.file/1", "report": self.report}
        return {**head, **self.logged(), "anchor": None}

    @property
    def trusted(self) -> dict[str, str]:
        return {id_: chain["block"]["hash"] for id_, chain in self.chains.items()}

    def own(self, customer: UUID) -> Json:
        salt = layout.salt_of(self.plan.secret, self.context.hash, customer)
        return self.own_at(layout.id_of(self.context.hash, salt, customer), customer, salt)

    def own_at(self, id_: bytes, customer: UUID, salt: bytes) -> Json:
        """The file for a customer about the leaf with this id."""
        index = self.ids.index(id_)
        return {
            "schema": "moorage.solvency.me/1",
            "context": self.context.to_json(),
            "customer": format_id("customer", customer),
            "salt": "0x" + salt.hex(),
            "index": str(index),
            "depth": str(len(self.levels) - 1),
            "balances": [str(v) for v in self.levels[0][index].sums],
            "path": [_step(level[index >> n ^ 1]) for n, level in enumerate(self.levels[:-1])],
            **self.logged(),
            "anchor": None,
        }

    def logged(self) -> Json:
        """Both entries under one signed checkpoint of this log."""
        texts = [canonical.encode(entry) for entry in self.log]
        leaves = [merkle.leaf_hash(text) for text in texts]
        node, size = merkle.nodes_of(leaves), len(leaves)
        head = note.TreeHead(ORIGIN, size, merkle.subtree_root(node, 0, size))
        key = note.LogKey.parse(VKEY)
        signed = note.encode(head.text(), key, LOG_KEY.sign(head.text().encode()))
        made = {}
        for name, index in (("opened", 0), ("published", 1)):
            found = proof.inclusion(node, index, size)
            made[name] = {
                "entry": texts[index].decode(),
                **found.to_json(),
                "checkpoint": signed,
            }
        return made

    # --- the tree -------------------------------------------------------------------------------

    def _grow(self) -> None:
        """Level by level in plain Python, by the plan's own way of joining two nodes."""
        leaves = {self._id(c): self._sums(held) for c, held in self.plan.owed.items()}
        number = 0
        while len(leaves) < tree.CHUNK:
            id_ = layout.padding_id(self.plan.secret, self.context.hash, number)
            leaves[id_], number = (0,) * len(ASSETS), number + 1
        self.ids = sorted(leaves)
        self.levels: list[list[Node]] = [[layout.leaf(i, leaves[i]) for i in self.ids]]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            pairs = zip(below[::2], below[1::2], strict=True)
            self.levels.append([self.plan.parent(left, right) for left, right in pairs])

    def _id(self, customer: UUID) -> bytes:
        salt = layout.salt_of(self.plan.secret, self.context.hash, customer)
        return layout.id_of(self.context.hash, salt, customer)

    def _sums(self, held: dict[str, int]) -> tuple[int, ...]:
        return tuple(held.get(asset, 0) for asset in ASSETS)

    @property
    def root(self) -> Node:
        return self.levels[-1][0]

    # --- report and log -------------------------------------------------------------------------

    def _chain_1(self, challenge: bytes) -> Json:
        picked = layout.pinned_number(challenge, 100, 16)
        number = picked if self.plan.number is None else self.plan.number
        return _chain(1, number, 1_000, _state_1())

    def _report(self) -> Json:
        head = {
            "context": self.context.to_json(),
            "commitment": "sha256:" + layout.commitment(self.plan.secret).hex(),
            "challenge": {
                "chain_id": "1",
                "block_number": "100",
                "block_hash": "0x" + self.plan.challenge_hash.hex(),
                "window": "16",
            },
            "root": "0x" + self.root.hash.hex(),
            "depth": str(len(self.levels) - 1),
            "sums": [str(v) for v in self.root.sums],
            "chains": [_shown(self.chains[id_]) for id_ in ("1", "2")],
        }
        return report.build(head, members(), self.owners())

    def owners(self) -> list[Json]:
        listed = [(1, TREASURY), (1, HOT), (2, HOT)]
        made = [self.owner(chain, key) for chain, key in listed]
        return sorted(made, key=lambda m: (int(m["chain_id"]), m["address"].lower()))

    def owner(self, chain_id: int, key: PrivateKey) -> Json:
        by = address(key)
        said = Statement(ENTITY, self.context.epoch, self.context.challenge, chain_id, by, by)
        return {
            "chain_id": str(chain_id),
            "address": by,
            "kind": "key",
            "by": by,
            "signature": signature(key, said.digest()),
        }

    def _opened(self) -> Json:
        return {
            "entity": ENTITY,
            "epoch": str(self.plan.epoch),
            "commitment": "sha256:" + layout.commitment(self.plan.secret).hex(),
            "chain_id": "1",
            "block_number": "100",
            "window": "16",
            "floors": {"1": "95", "2": "55"},
        }

    def _published(self) -> Json:
        return {
            "entity": ENTITY,
            "epoch": str(self.plan.epoch),
            "commitment": self.report["commitment"],
            "challenge": "0x" + self.context.challenge.hex(),
            "block_hash": "0x" + self.plan.challenge_hash.hex(),
            "context": "sha256:" + self.context.hash.hex(),
            "root": self.report["root"],
            "depth": self.report["depth"],
            "assets": list(ASSETS),
            "sums": self.report["sums"],
            "report": report.digest(self.report),
            "pinned": {id_: chain["block"]["hash"] for id_, chain in self.chains.items()},
        }

    def _entry(self, index: int, kind: str, data: Json) -> Json:
        return {
            "v": 1,
            "id": f"ent_{index:032x}",
            "tenant": format_id("tenant", TENANT),
            "kind": kind,
            "at": "2026-01-02T03:04:05.000006Z",
            "data": data,
        }

    def publish(self, changed: Json) -> None:
        """Put a changed report in the place of this one, in report and log alike: coherent."""
        self.report = changed
        self.published = self._published()
        self.log[1] = self._entry(1, "solvency.published", self.published)


def _step(node: Node) -> Json:
    return {"hash": "0x" + node.hash.hex(), "sums": [str(v) for v in node.sums]}


# --- the chains ---------------------------------------------------------------------------------

TREASURY_USDC, HOT_ETH, HOT_ETH_2, VENUE_USDC = 1_100, 10, 8, 4_000


def _account(balance: int, storage_root: bytes) -> bytes:
    fields = (rlp.encode_int(1), rlp.encode_int(balance), storage_root, keccak(b""))
    return rlp.encode(list(fields))


def _storage() -> Trie:
    slot = MAPPING.slot_of(address(TREASURY)).to_bytes(32, "big")
    other = MAPPING.slot_of(VENUE).to_bytes(32, "big")
    return Trie({slot: rlp.encode(rlp.encode_int(TREASURY_USDC)), other: rlp.encode(b"\x01")})


def _state_1() -> Trie:
    return Trie(
        {
            address_bytes(address(HOT)): _account(HOT_ETH, Trie({b"": b"\x01"}).root),
            bytes.fromhex(TOKEN[2:]): _account(0, _storage().root),
        }
    )


def _state_2() -> Trie:
    return Trie({address_bytes(address(HOT)): _account(HOT_ETH_2, Trie({b"": b"\x01"}).root)})


def _header(parent: bytes, state: bytes, number: int, time_s: int) -> bytes:
    zero, numbers = bytes(32), (rlp.encode_int(number), rlp.encode_int(time_s))
    items: list[rlp.Item] = [parent, zero, bytes(20), state, zero, zero, bytes(256), b""]
    items += [numbers[0], b"", b"", numbers[1], b"", zero, bytes(8)]
    return rlp.encode(items)


def _chain(chain_id: int, number: int, time_s: int, state: Trie) -> Json:
    header = _header(bytes([chain_id]) * 32, state.root, number, time_s)
    child = _header(keccak(header), state.root, number + 1, time_s + 12)
    block = {
        "number": str(number),
        "hash": "0x" + keccak(header).hex(),
        "time": str(time_s),
        "header": "0x" + header.hex(),
    }
    return {"chain_id": str(chain_id), "block": block, "child": "0x" + child.hex()}


def _shown(chain: Json) -> Json:
    return {**chain, "block": dict(chain["block"])}


def _account_json(state: Trie, at: str, balance: int, storage_root: bytes) -> Json:
    return {
        "address": at,
        "nonce": "1",
        "balance": str(balance),
        "storage_hash": "0x" + storage_root.hex(),
        "code_hash": "0x" + keccak(b"").hex(),
        "proof": state.proof(bytes.fromhex(at[2:])),
    }


def _native(chain_id: int, state: Trie, balance: int) -> Json:
    empty = Trie({b"": b"\x01"}).root
    return {
        "chain_id": str(chain_id),
        "address": address(HOT),
        "asset": f"eip155:{chain_id}/slip44:60",
        "class": "hot",
        "place": f"asset:gas@{chain_id}",
        "amount": str(balance),
        "counted": False,
        "evidence": {
            "kind": "account",
            "account": _account_json(state, address(HOT), balance, empty),
        },
    }


def members() -> list[Json]:
    """What is there: coins, a token, a position at a venue."""
    slot = MAPPING.slot_of(address(TREASURY))
    storage = _storage()
    token = {
        "chain_id": "1",
        "address": address(TREASURY),
        "asset": USDC,
        "class": "hot",
        "place": "asset:treasury@1",
        "amount": str(TREASURY_USDC),
        "counted": False,
        "evidence": {
            "kind": "storage",
            "account": _account_json(_state_1(), TOKEN, 0, storage.root),
            "slot": {
                "slot": f"0x{slot:064x}",
                "value": f"0x{TREASURY_USDC:064x}",
                "proof": storage.proof(slot.to_bytes(32, "big")),
            },
            "mapping": "9",
            "form": "solidity",
            "bits": "255",
        },
    }
    venue = {
        "chain_id": "1",
        "address": address(TREASURY),
        "asset": USDC,
        "class": "deployed",
        "place": "asset:venue:poo_1:aave",
        "amount": str(VENUE_USDC),
        "counted": False,
        "evidence": {"kind": "read", "call": "aave", "token": VENUE},
        "venue": "aave",
        "tier": "cash",
    }
    return [token, venue, _native(1, _state_1(), HOT_ETH), _native(2, _state_2(), HOT_ETH_2)]
