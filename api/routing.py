"""Routes are declared with their access rule, their command and the shape of their answer.

`Routes` collects declarations; `mount` registers them with FastAPI and refuses what has no rule.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from api.auth.access import Access, Scope
from api.problems import PROBLEM_RESPONSES

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Response]])
Model = TypeVar("Model", bound=BaseModel)
IDEMPOTENCY_KEY = "Idempotency-Key"
Method = Literal["GET", "POST", "DELETE"]


@dataclass(frozen=True, slots=True)
class Hot:
    """What a hot route reads by itself: FastAPI's solving of dependencies was half of its CPU.

    Its handler takes `(request, who)`; this says in the OpenAPI document what it would have said.
    """

    body: type[BaseModel] | None = None
    idempotent: bool = False
    body_max: int | None = None
    """Bytes that this route takes, where it is more than the others do."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One route. `answer` is a model, or a media type for what is not JSON."""

    method: Method
    path: str
    access: Access
    command: str
    answer: type[BaseModel] | str
    status: int
    tag: str
    endpoint: Callable[..., Awaitable[Response]]
    hot: Hot | None = None


class Routes:
    """The routes of one noun. `access` has no default: a route without a rule does not exist."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.rules: list[Rule] = []

    def add(
        self,
        method: Method,
        path: str,
        *,
        access: Access,
        command: str,
        answer: type[BaseModel] | str,
        status: int = 200,
        hot: Hot | None = None,
    ) -> Callable[[Handler], Handler]:
        if not isinstance(access, Access):
            raise TypeError(f"{method} {path} declares no access rule")

        def register(handler: Handler) -> Handler:
            self.rules.append(
                Rule(method, path, access, command, answer, status, self.tag, handler, hot)
            )
            return handler

        return register

    def get(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self.add("GET", path, **declared)

    def post(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self.add("POST", path, **declared)

    def delete(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self.add("DELETE", path, **declared)


def rule_of(request: Request) -> Rule:
    """The rule of the route that matched this request."""
    rules: dict[Any, Rule] = request.app.state.rules
    return rules[request.scope["endpoint"]]


def _documented(rule: Rule) -> dict[int | str, dict[str, Any]]:
    if isinstance(rule.answer, str):
        return {rule.status: {"content": {rule.answer: {}}}, **PROBLEM_RESPONSES}
    return {rule.status: {"model": rule.answer}, **PROBLEM_RESPONSES}


def _extra(rule: Rule) -> dict[str, Any]:
    public = rule.access.scope is Scope.PUBLIC
    extra: dict[str, Any] = {
        "security": [] if public else [{"bearer": []}],
        "x-command": rule.command,
        "x-access": {
            "scope": rule.access.scope.value,
            "roles": sorted(r.value for r in rule.access.roles),
        },
    }
    return extra if rule.hot is None else extra | _hot_document(rule.path, rule.hot)


def _hot_document(path: str, hot: Hot) -> dict[str, Any]:
    named = [("path", part[1:-1]) for part in path.split("/") if part.startswith("{")]
    named += [("header", IDEMPOTENCY_KEY)] if hot.idempotent else []
    text = {"type": "string"}
    extra: dict[str, Any] = {
        "parameters": [
            {"name": name, "in": where, "required": True, "schema": text} for where, name in named
        ]
    }
    if hot.body is not None:
        content = {"application/json": {"schema": hot.body.model_json_schema()}}
        extra["requestBody"] = {"required": True, "content": content}
    return extra


def _hot(rule: Rule, guard: Callable[..., Any]) -> Callable[[Request], Awaitable[Response]]:
    """The guard, then the handler, without FastAPI in between."""
    handler = rule.endpoint

    async def run(request: Request) -> Response:
        return await handler(request, await guard(request))

    run.__name__, run.__doc__ = handler.__name__, handler.__doc__
    return run


async def body_of(request: Request, model: type[Model]) -> Model:
    """A hot route's body. Raises RequestValidationError as FastAPI would have."""
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in found]) from None


def mount(app: FastAPI, groups: Sequence[Routes], guard: Callable[..., Any]) -> None:
    """Register every declared route; the guard runs on all that are not public."""
    app.state.rules = {}
    for rule in (rule for group in groups for rule in group.rules):
        guarded = rule.access.scope is not Scope.PUBLIC
        endpoint = _hot(rule, guard) if rule.hot and guarded else rule.endpoint
        app.router.add_api_route(
            rule.path,
            endpoint,
            methods=[rule.method],
            status_code=rule.status,
            response_model=None,
            responses=_documented(rule),
            tags=[rule.tag],
            dependencies=[Depends(guard)] if guarded and not rule.hot else [],
            openapi_extra=_extra(rule),
        )
        app.state.rules[endpoint] = rule


def body_limits(groups: Sequence[Routes]) -> dict[str, int]:
    """The paths that take larger bodies than the rest. Requires that they have no parameters."""
    hot = {rule.path: rule.hot for group in groups for rule in group.rules if rule.hot}
    return {path: h.body_max for path, h in hot.items() if h.body_max is not None}


def refuse_undeclared(app: FastAPI) -> None:
    """Raises TypeError if a route under /v1 came in by another door than `Routes`."""
    for route in app.router.routes:
        path = getattr(route, "path", "")
        declared = isinstance(route, APIRoute) and route.endpoint in app.state.rules
        if path.startswith("/v1") and not declared:
            raise TypeError(f"route {path} has no access rule")
