"""CREATE2 through the deterministic deployment proxy: where code lands is known before it is there.

The proxy is the same 69 bytes at the same address wherever it was placed: its own transaction has
no owner's key behind it. It takes salt and creation code, and reverts if nothing came of it. Its
caller is no matter, so nobody can take a place in our stead but by deploying exactly our code.
"""

from typing import Final

from chains.evm.address import address_bytes, address_from_bytes, keccak

DEPLOYER: Final = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
DEPLOYER_CODE_HASH: Final = "0x2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989"


def create2_address(salt: bytes, creation_code: bytes) -> str:
    """EIP-1014, checksummed. `creation_code` includes the constructor's arguments."""
    _check(salt)
    parts = (b"\xff", address_bytes(DEPLOYER), salt, keccak(creation_code))
    return address_from_bytes(keccak(b"".join(parts))[12:])


def create2_calldata(salt: bytes, creation_code: bytes) -> bytes:
    """What the proxy is sent."""
    _check(salt)
    return salt + creation_code


def code_hash(code: bytes) -> str:
    """As EXTCODEHASH has it, 0x hex."""
    return "0x" + keccak(code).hex()


def _check(salt: bytes) -> None:
    if len(salt) != 32:
        raise ValueError(f"a salt has 32 bytes, not {len(salt)}")
