"""Answers and request shapes that every route shares. Amounts are decimal strings."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator
from starlette.responses import Response

from custody.core.errors import InvalidInput
from custody.core.ids import format_id, parse_id
from custody.core.serialization import dumps

LIMIT_MAX = 200
DEPTH_MAX = 32
JSON = "application/json"


def sound(value: Any, field: str) -> Any:
    """The value itself. Raises InvalidInput for text in it that the database cannot keep.

    The walk is no recursion: the value is a stranger's and may be deep.
    """
    waiting: list[tuple[str, Any, int]] = [(field, value, 0)]
    while waiting:
        where, found, depth = waiting.pop()
        if isinstance(found, str):
            if not _is_sound(found):
                raise InvalidInput(where, "must be text without NUL and lone surrogates")
        elif depth > DEPTH_MAX:
            raise InvalidInput(field, f"must not be nested deeper than {DEPTH_MAX}")
        elif isinstance(found, dict):
            waiting += [(where, key, depth) for key in found]
            waiting += [(f"{where}.{key}", item, depth + 1) for key, item in found.items()]
        elif isinstance(found, list):
            waiting += [(f"{where}.{i}", item, depth + 1) for i, item in enumerate(found)]
    return value


def _is_sound(text: str) -> bool:
    if "\0" in text:
        return False
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


class Shape(BaseModel):
    """A body or an answer: no other field than the declared ones."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _sound_text(cls, value: Any, info: ValidationInfo) -> Any:
        return sound(value, info.field_name or "body")


def _sound_document(value: dict[str, Any]) -> dict[str, Any]:
    for field, item in value.items():
        sound(item, field)
    return value


Document = Annotated[dict[str, Any], AfterValidator(_sound_document)]
"""A body whose own parser, in its domain, says what its fields are."""

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="how many at most")]
Cursor = Annotated[str | None, Query(max_length=128, description="`next` of the page before")]


def answer(value: Any, status: int = 200) -> Response:
    """JSON by orjson, without a validation pass: hot routes build exactly what they declare."""
    return Response(dumps(value), status, media_type=JSON)


def page(items: Sequence[Any], next_: str | None) -> Response:
    return answer({"items": items, "next": next_})


def next_id(kind: str, ids: Sequence[UUID], limit: int) -> str | None:
    """The cursor after a full page; None when this page is the last."""
    return format_id(kind, ids[-1]) if len(ids) == limit else None


def cursor_id(kind: str, cursor: str | None) -> UUID | None:
    return None if cursor is None else parse_id(kind, cursor, "cursor")


def optional_id(kind: str, id_: UUID | None) -> str | None:
    return None if id_ is None else format_id(kind, id_)


def parse_time(text: str, field: str) -> datetime:
    """ISO 8601 with an offset. Raises InvalidInput."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(field, "must be an ISO 8601 time") from None
    if at.tzinfo is None:
        raise InvalidInput(field, "must name its offset from UTC")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(field, "must be in the years 1 to 9999 of UTC") from None
