"""What the compiler made of our contracts, and the committed hashes it must have made.

Standard library only: scripts/build_contracts uses this before any package is installed.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from chains.errors import ArtifactDiffers

CONTRACTS = ("AuditAnchor", "Payouts", "SweepHub", "Sweeper", "TreasuryGuard", "VTokenVault")
"""All that an installation puts on a chain."""
PINS = Path(__file__).with_name("code_hashes.json")


@dataclass(frozen=True, slots=True)
class Build:
    """A compiled contract.

    `template` is the runtime code with zeros where immutables go; `immutables` has, for each in
    the order of files by path and of declaration, the offsets of its 32-byte words.
    """

    name: str
    creation: bytes
    template: bytes
    immutables: tuple[tuple[int, ...], ...]
    constructor: tuple[str, ...]

    @classmethod
    def load(cls, out: Path, name: str) -> Self:
        """Read a Foundry artifact. Raises ValueError if libraries would have to be linked."""
        artifact = json.loads((out / f"{name}.sol" / f"{name}.json").read_text())
        creation, deployed = artifact["bytecode"], artifact["deployedBytecode"]
        if creation["linkReferences"]:
            raise ValueError(f"{name}: libraries to link, ours have none")
        # Ids of syntax tree nodes differ between builds; their order by path and line does not.
        spots = sorted(
            deployed.get("immutableReferences", {}).items(), key=lambda item: int(item[0])
        )
        inputs: list[Any] = next(
            (e["inputs"] for e in artifact["abi"] if e["type"] == "constructor"), []
        )
        return cls(
            name,
            bytes.fromhex(creation["object"].removeprefix("0x")),
            bytes.fromhex(deployed["object"].removeprefix("0x")),
            tuple(tuple(spot["start"] for spot in places) for _, places in spots),
            tuple(_type(item) for item in inputs),
        )

    @classmethod
    def pinned(cls, out: Path, name: str, pins: Path = PINS) -> Self:
        """`load`, for an artifact that is what review has seen. Raises ArtifactDiffers."""
        build = cls.load(out, name)
        wanted, found = json.loads(pins.read_text()).get(name), build.hashes()
        if wanted != found:
            raise ArtifactDiffers(
                f"{name}: this build has {found}, committed is {wanted};"
                " after a change that is meant, run scripts/build_contracts",
                contract=name,
            )
        return build

    def runtime(self, words: Sequence[bytes]) -> bytes:
        """The code on chain, from the immutables' 32-byte words in the order of declaration.

        Raises ValueError if there are more or fewer words than immutables.
        """
        if len(words) != len(self.immutables) or any(len(word) != 32 for word in words):
            raise ValueError(f"{self.name}: needs {len(self.immutables)} words of 32 bytes")
        code = bytearray(self.template)
        for word, offsets in zip(words, self.immutables, strict=True):
            for at in offsets:
                code[at : at + 32] = word
        return bytes(code)

    def hashes(self) -> Mapping[str, str]:
        """SHA-256 of both codes. Immutables count as 1, 2, ..., so that their places are pinned
        with the code around them."""
        numbered = [n.to_bytes(32, "big") for n in range(1, len(self.immutables) + 1)]
        return {
            "creation": hashlib.sha256(self.creation).hexdigest(),
            "runtime": hashlib.sha256(self.runtime(numbered)).hexdigest(),
        }


def _type(item: Mapping[str, Any]) -> str:
    """The canonical ABI type of a parameter; a struct is the tuple of its members."""
    kind: str = item["type"]
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(_type(part) for part in item["components"]) + ")" + kind[len("tuple") :]
