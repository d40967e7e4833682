"""Answers that are given out a piece at a time: however large, one request holds one piece."""

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse


def streamed(
    pieces: AsyncIterator[bytes],
    length: int,
    media_type: str,
    headers: dict[str, str] | None = None,
) -> StreamingResponse:
    """`length` is that of all pieces: a client sees by it if an answer broke off."""
    told = {"Content-Length": str(length), **(headers or {})}
    return StreamingResponse(pieces, media_type=media_type, headers=told)
