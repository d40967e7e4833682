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
from chains.evm.address import address_bytes, address_from_public_key, checksum, keccak
from chains.evm.balance_slots import SOLIDITY, BalanceMapping
from chains.evm.contracts import audit_anchor
from custody.assurance.solvency import layout, nodes, report, tree
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
VENUE, CONTRACT = "0x" + "BB" * 20, "0x" + "cC" * 20
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
    mined: bytes = b"\x66" * 32
    """What nobody can choose: it makes the hash of the challenge's block."""
    told_hash: bytes | None = None
    """What the operator says that hash is, where it lies."""
    entries_before: int = 1
    """Entries of the log that the chain held before the challenge's block."""
    anchored_root: bytes | None = None
    """Of what it held, where that was another log."""
    window: int = 16
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
        self.opening = self._entry(0, "solvency.opened", self._opened())
        headers = self._first_headers()
        self.challenge_hash = plan.told_hash or keccak(headers[1])
        challenge = layout.challenge_of(self.challenge_hash, 1, 100, plan.epoch, ENTITY)
        prices = (SharePriceLine(SHARE, USDC, plan.price_ray, 90),)
        self.context = Context(ENTITY, plan.epoch, challenge, ASSETS, prices)
        self.headers = self._headers_to(headers, challenge)
        self.chains = {
            "1": _chain(1, self.headers[-1], _state_1()),
            "2": _chain(2, _header(b"\x02" * 32, _state_2().root, 60, plan.time_2), _state_2()),
        }
        self._grow()
        self.report = self._report()
        self.published = self._published()
        self.log: list[Json] = [self.opening]
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

    @property
    def opening_leaf(self) -> bytes:
        return _leaf(self.opening)

    def _held_root(self) -> bytes:
        return self.plan.anchored_root or self.opening_leaf

    def _first_headers(self) -> list[bytes]:
        """Block 99, whose state has the anchor, and block 100, whose hash is the challenge."""
        state = _state_99(self.plan.entries_before, self._held_root())
        before = _header(b"\x01" * 32, state.root, 99, 700)
        return [before, _header(keccak(before), state.root, 100, 712, self.plan.mined)]

    def _headers_to(self, headers: list[bytes], challenge: bytes) -> list[bytes]:
        """On to the pinned block, which is of time 1,000."""
        picked = layout.pinned_number(challenge, 100, self.plan.window)
        number = picked if self.plan.number is None else self.plan.number
        for n in range(101, number):
            headers.append(_header(keccak(headers[-1]), bytes(32), n, 700 + n))
        last = _header(keccak(headers[-1]), _state_1().root, number, 1_000)
        return [*headers, last]

    def anchored(self) -> Json:
        """What the chain held of the log at block 99: moorage.anchor/1."""
        header, id_ = self.headers[0], note.log_id(ORIGIN)
        size, root = self.plan.entries_before, self._held_root()
        storage, state = _anchor_storage(size, root), _state_99(size, root)
        account = _account_json(CONTRACT, 0, storage.root)
        del account["address"]
        slots = zip(audit_anchor.slots_of(bytes.fromhex(id_[2:])), _words(size, root), strict=True)
        return {
            "schema": "moorage.anchor/1",
            "chain_id": "1",
            "contract": checksum(CONTRACT.lower()),
            "origin": ORIGIN,
            "log_id": id_,
            "size": str(size),
            "root": "sha256:" + root.hex(),
            "time": "690",
            "seq": "1",
            "state": "open",
            "block": _block(header),
            "account": account | {"proof": state.shown(bytes.fromhex(CONTRACT[2:]))},
            "storage": [
                {
                    "slot": f"0x{slot:064x}",
                    "value": f"0x{value:064x}",
                    "proof": storage.shown(slot.to_bytes(32, "big")),
                }
                for slot, value in slots
            ],
        }

    def _report(self) -> Json:
        head = {
            "context": self.context.to_json(),
            "commitment": "sha256:" + layout.commitment(self.plan.secret).hex(),
            "challenge": {
                "chain_id": "1",
                "block_number": "100",
                "block_hash": "0x" + self.challenge_hash.hex(),
                "window": str(self.plan.window),
                "headers": ["0x" + h.hex() for h in self.headers],
                "anchored": self.anchored(),
                "inclusion": {
                    "index": "0",
                    "size": str(self.plan.entries_before),
                    "leaf_hash": _leaf(self.opening).hex(),
                    "hashes": [],
                },
            },
            "root": "0x" + self.root.hash.hex(),
            "depth": str(len(self.levels) - 1),
            "sums": [str(v) for v in self.root.sums],
            "chains": [_shown(self.chains[id_]) for id_ in ("1", "2")],
        }
        return report.build(head, members(), self.owners(), [])

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
            "window": str(self.plan.window),
            "floors": {"1": "95", "2": "55"},
        }

    def _published(self) -> Json:
        return {
            "entity": ENTITY,
            "epoch": str(self.plan.epoch),
            "commitment": self.report["commitment"],
            "challenge": "0x" + self.context.challenge.hex(),
            "block_hash": "0x" + self.challenge_hash.hex(),
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


CODE_HASH = keccak(b"code")
"""Of every account here: an anchor contract without code would be none."""


def _account(balance: int, storage_root: bytes) -> bytes:
    fields = (rlp.encode_int(1), rlp.encode_int(balance), storage_root, CODE_HASH)
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


def _leaf(entry: Json) -> bytes:
    return merkle.leaf_hash(canonical.encode(entry))


def _words(size: int, root: bytes) -> tuple[int, int]:
    """Root and head of the anchor's storage: the first anchor, of time 690."""
    return int.from_bytes(root, "big"), size | 690 << 64 | 1 << 104


def _anchor_storage(size: int, root: bytes) -> Trie:
    slots = audit_anchor.slots_of(bytes.fromhex(note.log_id(ORIGIN)[2:]))
    pairs = zip(slots, _words(size, root), strict=True)
    return Trie({s.to_bytes(32, "big"): rlp.encode(rlp.encode_int(v)) for s, v in pairs})


def _state_99(size: int, root: bytes) -> Trie:
    return Trie({bytes.fromhex(CONTRACT[2:]): _account(0, _anchor_storage(size, root).root)})


def _header(
    parent: bytes, state: bytes, number: int, time_s: int, mined: bytes = bytes(32)
) -> bytes:
    zero, numbers = bytes(32), (rlp.encode_int(number), rlp.encode_int(time_s))
    items: list[rlp.Item] = [parent, zero, bytes(20), state, zero, zero, bytes(256), b""]
    items += [numbers[0], b"", b"", numbers[1], b"", mined, bytes(8)]
    return rlp.encode(items)


def _chain(chain_id: int, header: bytes, state: Trie) -> Json:
    items = rlp.as_list(rlp.decode(header))
    number, time_s = rlp.as_int(items[8]), rlp.as_int(items[11])
    child = _header(keccak(header), state.root, number + 1, time_s + 12)
    return {
        "chain_id": str(chain_id),
        "block": _block(header),
        "child": "0x" + child.hex(),
        "nodes": nodes.shown(_nodes_of(chain_id)),
    }


def _block(header: bytes) -> Json:
    items = rlp.as_list(rlp.decode(header))
    return {
        "number": str(rlp.as_int(items[8])),
        "hash": "0x" + keccak(header).hex(),
        "time": str(rlp.as_int(items[11])),
        "header": "0x" + header.hex(),
    }


def _nodes_of(chain_id: int) -> set[bytes]:
    """What `members` needs."""
    state = _state_1() if chain_id == 1 else _state_2()
    shown = state.proof(address_bytes(address(HOT)))
    if chain_id == 1:
        shown += state.proof(bytes.fromhex(TOKEN[2:]))
        shown += _storage().proof(MAPPING.slot_of(address(TREASURY)).to_bytes(32, "big"))
    return set(shown)


def _shown(chain: Json) -> Json:
    return {**chain, "block": dict(chain["block"])}


def _account_json(at: str, balance: int, storage_root: bytes) -> Json:
    return {
        "address": at,
        "nonce": "1",
        "balance": str(balance),
        "storage_hash": "0x" + storage_root.hex(),
        "code_hash": "0x" + CODE_HASH.hex(),
    }


def _native(chain_id: int, balance: int) -> Json:
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
            "account": _account_json(address(HOT), balance, empty),
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
            "account": _account_json(TOKEN, 0, storage.root),
            "slot": {
                "slot": f"0x{slot:064x}",
                "value": f"0x{TREASURY_USDC:064x}",
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
    return [token, venue, _native(1, HOT_ETH), _native(2, HOT_ETH_2)]
