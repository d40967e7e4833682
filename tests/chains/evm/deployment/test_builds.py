"""What is read from an artifact, and what is refused in one."""

import json
from pathlib import Path
from typing import Any

import pytest

from chains.errors import ArtifactDiffers
from chains.evm.deployment.builds import Build

pytestmark = pytest.mark.unit

A, B = b"\xaa" * 32, b"\xbb" * 32


def artifact() -> dict[str, Any]:
    """Two immutables: the one declared first twice in the code, the other between."""
    code = bytes([1]) + bytes(32) + bytes([2]) + bytes(32) + bytes([3]) + bytes(32)

    def spot(at: int) -> dict[str, int]:
        return {"start": at, "length": 32}

    member = {"type": "tuple[]", "components": [{"type": "address"}, {"type": "uint8"}]}
    inputs = [{"type": "uint256"}, member]
    return {
        "abi": [{"type": "function", "inputs": []}, {"type": "constructor", "inputs": inputs}],
        "bytecode": {"object": "0x6001", "linkReferences": {}},
        "deployedBytecode": {
            "object": "0x" + code.hex(),
            # As text, "1000" sorts before "999": declared later all the same.
            "immutableReferences": {"1000": [spot(34)], "999": [spot(1), spot(67)]},
        },
    }


def written(out: Path, body: dict[str, Any]) -> Path:
    folder = out / "Thing.sol"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Thing.json").write_text(json.dumps(body))
    return out


def test_immutables_go_where_they_are_read_in_the_order_of_declaration(tmp_path: Path) -> None:
    build = Build.load(written(tmp_path, artifact()), "Thing")
    assert build.constructor == ("uint256", "(address,uint8)[]")
    assert build.creation == b"\x60\x01"
    assert build.runtime([A, B]) == b"\1" + A + b"\2" + B + b"\3" + A


@pytest.mark.parametrize("words", [[], [A], [A, B, A], [A, b"\xbb" * 20]])
def test_every_immutable_needs_its_word(tmp_path: Path, words: list[bytes]) -> None:
    build = Build.load(written(tmp_path, artifact()), "Thing")
    with pytest.raises(ValueError, match="needs 2 words"):
        build.runtime(words)


def test_a_contract_that_needs_libraries_is_refused(tmp_path: Path) -> None:
    body = artifact()
    body["bytecode"]["linkReferences"] = {"L.sol": {"L": [{"start": 0, "length": 20}]}}
    with pytest.raises(ValueError, match="libraries"):
        Build.load(written(tmp_path, body), "Thing")


def tampered(what: str) -> dict[str, Any]:
    body = artifact()
    deployed = body["deployedBytecode"]
    if what == "creation":
        body["bytecode"]["object"] = "0x6002"
    elif what == "runtime":
        deployed["object"] = deployed["object"].replace("03", "04")
    elif what == "place of an immutable":
        deployed["immutableReferences"]["1000"][0]["start"] = 33
    else:
        references = deployed["immutableReferences"]
        deployed["immutableReferences"] = {"999": references["1000"], "1000": references["999"]}
    return body


@pytest.mark.parametrize(
    "what", ["creation", "runtime", "place of an immutable", "order of immutables"]
)
def test_a_tampered_artifact_is_refused(tmp_path: Path, what: str) -> None:
    pins = tmp_path / "pins.json"
    sound = Build.load(written(tmp_path, artifact()), "Thing")
    pins.write_text(json.dumps({"Thing": sound.hashes()}))
    assert Build.pinned(tmp_path, "Thing", pins) == sound
    written(tmp_path, tampered(what))
    with pytest.raises(ArtifactDiffers, match=r"Thing: this build has .* committed is"):
        Build.pinned(tmp_path, "Thing", pins)


def test_a_contract_without_a_committed_hash_is_refused(tmp_path: Path) -> None:
    pins = tmp_path / "pins.json"
    pins.write_text("{}")
    with pytest.raises(ArtifactDiffers):
        Build.pinned(written(tmp_path, artifact()), "Thing", pins)
