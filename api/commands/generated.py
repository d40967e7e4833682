"""One command a route, made from the OpenAPI document: the two cannot drift apart.

`POST /v1/withdrawals` with `x-command: withdrawals request` becomes
`moorage withdrawals request --asset ... --amount ...`. Path parameters are arguments, query
parameters and body fields are options; objects are JSON or a file's name.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import typer

from api.commands.people import read_text

TIMEOUT_S = 60.0
KEY_HEADER = "idempotency-key"
Groups = dict[str, typer.Typer]


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter of a command: where it goes and how it is read."""

    name: str
    where: str  # path, query, body, whole (the body as it is)
    required: bool
    kind: str  # string, integer, boolean, json
    help: str

    @property
    def variable(self) -> str:
        return self.name.replace("-", "_").replace(".", "_")


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    noun: str
    verb: str
    help: str
    fields: tuple[Field, ...]
    idempotent: bool


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Every operation under /v1 that names its command."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            noun, verb = operation["x-command"].split(" ")
            headers = {p["name"].lower() for p in operation.get("parameters", ())}
            yield Operation(
                method=method.upper(),
                path=path,
                noun=noun,
                verb=verb,
                help=operation.get("description") or operation["summary"],
                fields=tuple(_fields(document, operation)),
                idempotent=KEY_HEADER in headers,
            )


def _fields(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[Field]:
    for p in operation.get("parameters", ()):
        if p["in"] in ("path", "query"):
            kind = _kind(p["schema"])
            text = p.get("description", p["schema"].get("description", ""))
            yield Field(p["name"], p["in"], p.get("required", False), kind, text)
    body = operation.get("requestBody")
    if body is None:
        return
    schema = _resolved(document, body["content"]["application/json"]["schema"])
    if "properties" not in schema:
        yield Field("body", "whole", True, "json", "JSON, a file, or -")
        return
    for name, part in schema["properties"].items():
        required = name in schema.get("required", ())
        text = part.get("description", "")
        yield Field(name, "body", required, _kind(part), text)


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
        return found
    return schema


def _kind(schema: Mapping[str, Any]) -> str:
    """The JSON type; of `X or null`, X's."""
    options = [s for s in schema.get("anyOf", [schema]) if s.get("type") != "null"]
    kind = options[0].get("type")
    return kind if kind in ("string", "integer", "boolean") else "json"


def attach(groups: Groups, root: typer.Typer, document: Mapping[str, Any]) -> None:
    """Add a command for every operation; a noun that has a group already gets it there."""
    for operation in operations(document):
        if operation.noun not in groups:
            group = typer.Typer(help=f"HTTP: {operation.noun}.", no_args_is_help=True)
            groups[operation.noun] = group
            root.add_typer(group, name=operation.noun)
        groups[operation.noun].command(operation.verb, help=operation.help)(_command(operation))


_TYPES = {"string": str, "integer": int, "boolean": bool, "json": str}


def _parameter(field: Field) -> inspect.Parameter:
    python: Any = _TYPES[field.kind]
    text = field.help or None
    if field.where == "path":
        return _named(field.variable, typer.Argument(help=text), python)
    if field.required:
        return _named(field.variable, typer.Option(help=text), python)
    return _named(field.variable, typer.Option(None, help=text), python | None)


def _named(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _common() -> list[inspect.Parameter]:
    url = typer.Option("http://127.0.0.1:8600", envvar="MOORAGE_URL")
    token = typer.Option(None, envvar="MOORAGE_TOKEN", help="better in the environment than here")
    output = typer.Option(None, help="write the answer to this file")
    return [
        _named("url", url, str),
        _named("token", token, str | None),
        _named("output", output, Path | None),
    ]


def _command(operation: Operation) -> Callable[..., None]:
    parameters = [*map(_parameter, operation.fields), *_common()]
    if operation.idempotent:
        key = typer.Option(None, help="default: a new one; give it again to retry")
        parameters.append(_named("idempotency_key", key, str | None))

    def run(**values: Any) -> None:
        answer = send(operation, values)
        _show(answer, values["output"])

    run.__name__ = f"{operation.noun}_{operation.verb}".replace("-", "_")
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def request_of(
    operation: Operation, values: Mapping[str, Any]
) -> tuple[str, dict[str, Any], Any, dict[str, str]]:
    """Path, query, body and headers of the request."""
    path, query, body = operation.path, {}, None
    for field in operation.fields:
        value = values.get(field.variable)
        if value is None:
            continue
        if field.kind == "json":
            value = orjson.loads(value if _is_inline(value) else read_text(value))
        if field.where == "path":
            path = path.replace(f"{{{field.name}}}", str(value)).replace(
                f"{{{field.name}:path}}", str(value)
            )
        elif field.where == "query":
            query[field.name] = value
        elif field.where == "whole":
            body = value
        else:
            body = {**(body or {}), field.name: value}
    if body is None and any(f.where == "body" for f in operation.fields):
        body = {}
    headers = {"Authorization": f"Bearer {values['token']}"} if values.get("token") else {}
    if operation.idempotent:
        headers["Idempotency-Key"] = values.get("idempotency_key") or uuid4().hex
    return path, query, body, headers


def _is_inline(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[", '"')


def send(operation: Operation, values: Mapping[str, Any]) -> httpx.Response:
    path, query, body, headers = request_of(operation, values)
    try:
        answer = httpx.request(
            operation.method,
            str(values["url"]).rstrip("/") + path,
            params=query,
            json=body,
            headers=headers,
            timeout=TIMEOUT_S,
        )
    except httpx.TransportError as error:
        typer.echo(f"no answer from {values['url']}: {error}", err=True)
        _tell_key(headers)
        raise typer.Exit(2) from None
    if answer.is_server_error:
        _tell_key(headers)
    return answer


def _tell_key(headers: Mapping[str, str]) -> None:
    """Whether it happened is not known: only the same key makes asking again safe."""
    if "Idempotency-Key" in headers:
        key = headers["Idempotency-Key"]
        typer.echo(f"to ask again without doing it twice: --idempotency-key {key}", err=True)


def _show(answer: httpx.Response, output: Path | None) -> None:
    """The answer to standard output or a file; a problem to standard error, exit code 1."""
    if answer.is_error:
        typer.echo(answer.text, err=True)
        raise typer.Exit(1)
    if output is not None:
        output.write_bytes(answer.content)
    elif answer.headers.get("content-type", "").startswith("application/json"):
        typer.echo(orjson.dumps(answer.json(), option=orjson.OPT_INDENT_2).decode())
    else:
        typer.get_binary_stream("stdout").write(answer.content)
