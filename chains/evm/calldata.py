"""Encoding of calls and decoding of answers, typed by the words of the signature."""

from functools import lru_cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError

from chains.errors import UndecodableAnswer
from chains.evm.address import keccak


@lru_cache(maxsize=1024)
def selector(signature: str) -> bytes:
    """The four bytes that name a function, from e.g. `transfer(address,uint256)`."""
    return keccak(signature.encode())[:4]


@lru_cache(maxsize=1024)
def topic(signature: str) -> str:
    """The first topic of an event, from e.g. `Transfer(address,address,uint256)`."""
    return "0x" + keccak(signature.encode()).hex()


@lru_cache(maxsize=1024)
def argument_types(signature: str) -> tuple[str, ...]:
    """The types between the outer brackets. Our signatures hold no tuples."""
    inner = signature[signature.index("(") + 1 : -1]
    return tuple(inner.split(",")) if inner else ()


def encode_call(signature: str, *arguments: object) -> bytes:
    """Calldata. Raises a subclass of ValueError or TypeError if an argument does not fit."""
    return selector(signature) + abi_encode(argument_types(signature), arguments)


def decode_answer(types: tuple[str, ...], data: bytes) -> tuple[Any, ...]:
    """The values of an answer. Raises UndecodableAnswer: also for an account without code."""
    try:
        return tuple(abi_decode(types, data))
    except (DecodingError, OverflowError) as error:
        raise UndecodableAnswer(f"answer is not {types}", data="0x" + data.hex()) from error


def decode_arguments(signature: str, data: bytes) -> tuple[Any, ...]:
    """Arguments of a call. Raises ValueError on another selector or bytes left over."""
    if data[:4] != selector(signature):
        raise ValueError(f"not a call of {signature}")
    values = decode_answer(argument_types(signature), data[4:])
    if encode_call(signature, *values) != data:
        raise ValueError(f"{signature}: not the canonical encoding")
    return values


def word(value: int) -> bytes:
    """One ABI word. Requires 0 <= value < 2^256."""
    return value.to_bytes(32, "big")


def topic_address(topic_hex: str) -> str:
    """Lower-case address in an indexed topic. Raises ValueError if the upper 12 bytes are not 0."""
    if len(topic_hex) != 66 or topic_hex[2:26] != "0" * 24:
        raise ValueError(f"topic holds no address: {topic_hex}")
    return "0x" + topic_hex[26:].lower()


def address_topic(address: str) -> str:
    """The topic form of an address."""
    return "0x" + "0" * 24 + address[2:].lower()
