"""RFC 9457 problem documents: one shape for every answer that is not a success."""

from typing import Any

from pydantic import BaseModel, ConfigDict

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """`code` is stable; `field` and `rule` are there when one field broke one rule."""

    model_config = ConfigDict(extra="forbid")

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    rule: str | None = None


_CODES = {
    400: "a value breaks a rule",
    401: "no valid token",
    403: "the role may not do this",
    404: "no such object, or it is another's",
    409: "the state does not allow it now",
    413: "the body is too large",
    422: "the body has another shape, or a rule of the business says no",
    503: "try again later",
}

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, text in _CODES.items()
}


def problem(
    status: int, code: str, detail: str, *, field: str | None = None, rule: str | None = None
) -> dict[str, Any]:
    """The document; members without a value are left out."""
    body: dict[str, Any] = {
        "type": f"urn:moorage:problem:{code}",
        "title": code.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
    }
    if field is not None:
        body["field"] = field
    if rule is not None:
        body["rule"] = rule
    return body
