"""The log's static files as c2sp.org/tlog-tiles serves them, below the prefix `/v1/audit`.

Checkpoint and hashes are for everybody: a witness or a foreign client has no token, and hashes of
entries that each carry a random id tell nothing. Entry bundles hold every tenant's entries, so
they are for the staff who run the installation.
"""

import gzip
import re
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Path, Request
from starlette.responses import Response

from api.auth.access import OPERATOR_STAFF, PUBLIC
from api.deps import Deps, UseDeps
from api.routing import Routes
from custody.audit import merkle, proof, tiles, trust
from custody.audit.note import LogKey
from custody.core.errors import NotFound

routes = Routes("audit")
SEQ_MAX = 2**53 - 1
OCTETS = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"
# A checkpoint changes with every batch of entries; a tile of some width never does.
SHORT = {"Cache-Control": "public, max-age=1"}
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
FOR_EVER_OWN = {"Cache-Control": "private, max-age=31536000, immutable"}
# Six groups number more tiles than 2^53 entries have.
_TILE = re.compile(r"((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
Proof = TypeVar("Proof")


@routes.get("/v1/audit/checkpoint", access=PUBLIC, command="audit checkpoint", answer="text/plain")
async def checkpoint(deps: UseDeps) -> Response:
    """The newest signed note: origin, size, root, signatures."""
    try:
        note = (deps.settings.audit_folder / tiles.CHECKPOINT).read_bytes()
    except FileNotFoundError:
        raise NotFound("checkpoint", "latest") from None
    return Response(note, media_type=TEXT, headers=SHORT)


@routes.get("/v1/audit/policy", access=PUBLIC, command="audit policy", answer="text/plain")
async def policy(deps: UseDeps) -> Response:
    """A c2sp.org/tlog-policy of who trusts this log alone; have its key from elsewhere as well."""
    key = LogKey.parse(deps.installation["log"]["vkey"])
    return Response(trust.render(key), media_type=TEXT, headers=SHORT)


@routes.get(
    "/v1/audit/tile/entries/{path:path}",
    access=OPERATOR_STAFF,
    command="audit entry-bundle",
    answer=OCTETS,
)
async def entry_bundle(path: str, request: Request, deps: UseDeps) -> Response:
    """An entry bundle: up to 256 entries of all tenants, each after its length."""
    data, headers = _tile(deps, tiles.ENTRIES, path), {**FOR_EVER_OWN, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        data, headers["Content-Encoding"] = gzip.compress(data, 6, mtime=0), "gzip"
    return Response(data, media_type=OCTETS, headers=headers)


@routes.get(
    "/v1/audit/tile/{level}/{path:path}", access=PUBLIC, command="audit tile", answer=OCTETS
)
async def tile(level: Annotated[int, Path(ge=0, le=5)], path: str, deps: UseDeps) -> Response:
    """A tile of up to 256 hashes: `tile/<level>/<index in groups of three>[.p/<width>]`."""
    return Response(_tile(deps, level, path), media_type=OCTETS, headers=FOR_EVER)


def _tile(deps: Deps, level: int | str, path: str) -> bytes:
    """A tile's bytes. Raises NotFound for a malformed path as for one beyond the log."""
    match = _TILE.fullmatch(path)
    if match is None:
        raise NotFound("tile", f"{level}/{path}")
    index = int(match[1].replace("x", "").replace("/", ""))
    width = int(match[2] or tiles.WIDTH)
    size = index * tiles.WIDTH + width
    if level != tiles.ENTRIES:
        size <<= tiles.HEIGHT * int(level)
    full_as_partial = match[2] is not None and width == tiles.WIDTH
    if width > tiles.WIDTH or full_as_partial or size > SEQ_MAX:
        raise NotFound("tile", f"{level}/{path}")
    try:
        return tiles.TileFolder(deps.settings.audit_folder).read(level, index, size)
    except FileNotFoundError:
        raise NotFound("tile", f"{level}/{path}") from None


def proved(deps: Deps, size: int, make: Callable[[merkle.Node], Proof]) -> Proof:
    """What `make` proves out of the tree of `size`. Raises NotFound where the log never had this
    size: tiles are read while the proof is made."""
    node = proof.from_tiles(deps.settings.audit_folder, size)
    try:
        return make(node)
    except FileNotFoundError:
        raise NotFound("tiles of size", size) from None
