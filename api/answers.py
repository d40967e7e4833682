"""Answers and request shapes that every route shares. Amounts are decimal strings."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from custody.core.errors import InvalidInput
from custody.core.ids import format_id, parse_id
from custody.core.serialization import dumps

LIMIT_MAX = 200
JSON = "application/json"


class Shape(BaseModel):
    """A body or an answer: no other field than the declared ones."""

    model_config = ConfigDict(extra="forbid", strict=True)


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
    return at.astimezone(UTC)
