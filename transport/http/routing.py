"""Routes declared once: from each declaration come the handler, the checks and the OpenAPI text."""

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from engine.errors import InvalidInput

B = TypeVar("B", bound="Body")
M = TypeVar("M", bound=BaseModel)
Handler = Callable[[web.Request, Any], Awaitable[Any]]


class MalformedJson(InvalidInput):
    """The request's body is not JSON."""


class InvalidRequest(InvalidInput):
    """A field of the request's body is missing or wrong."""


class Body(BaseModel):
    """A request's body; unknown fields are ignored, as clients of similar APIs send more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ErrorBody(BaseModel):
    """What every error answers."""

    kind: str
    description: str


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API.

    Attributes:
        method: HTTP method.
        path: With ``{parameters}``.
        handler: Takes the request and the checked body; returns a model, a list of models or a
            finished response.
        summary: One line for the OpenAPI text.
        body: The body's model, or None.
        answer: The answer's type, or None when it is not JSON.
        status: Of a successful answer.
        errors: Statuses that it may answer besides, with their meaning.
        query: Names of optional query parameters.
        media_type: Of an answer that is not JSON.
        aliases: Further paths that do the same.
        reads_body: The handler reads the body itself: it is long, or a form as well.
        files: Of a form that may stand for the body: names, each with what the file is.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    body: type[Body] | None = None
    answer: Any = None
    status: int = 200
    errors: dict[int, str] = field(default_factory=dict)
    query: Sequence[str] = ()
    media_type: str = "application/json"
    aliases: Sequence[str] = ()
    reads_body: bool = False
    files: Mapping[str, str] = field(default_factory=dict)


def add_routes(app: web.Application, routes: Iterable[Route]) -> None:
    """Register routes and their aliases."""
    for route in routes:
        for path in (route.path, *route.aliases):
            app.router.add_route(route.method, path, _endpoint(route))


def _endpoint(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        wanted = None if route.reads_body else route.body
        body = await read_body(request, wanted) if wanted is not None else None
        result = await route.handler(request, body)
        if isinstance(result, web.StreamResponse):
            return result
        return json_response(_plain(result), route.status)

    return endpoint


async def read_body(request: web.Request, model: type[B]) -> B:
    """Read and check a JSON body; no body at all counts as an empty object.

    Raises:
        MalformedJson: It is not a JSON object.
        InvalidRequest: A field is missing or wrong.
    """
    raw = await request.read()
    try:
        values = json.loads(raw) if raw.strip() else {}
        json.dumps(values, ensure_ascii=False).encode()  # refuses lone surrogates
    except (ValueError, RecursionError):
        raise MalformedJson("The body is not JSON.") from None
    if not isinstance(values, dict):
        raise MalformedJson("The body is not a JSON object.")
    return checked(model, values)


def checked(model: type[M], values: Mapping[str, Any]) -> M:
    """Return values as a model.

    Raises:
        InvalidRequest: A field is missing or wrong.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"{key}: {first['msg']}." if key else f"{first['msg']}.") from None


def json_response(value: Any, status: int = 200) -> web.Response:
    """Return a JSON response."""
    return web.json_response(value, status=status)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def openapi(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """Describe routes as an OpenAPI 3.1 document."""
    schemas: dict[str, Any] = {}

    def schema_of(kind: Any) -> dict[str, Any]:
        schema = TypeAdapter(kind).json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            schemas[kind.__name__] = schema
            return {"$ref": f"#/components/schemas/{kind.__name__}"}
        return dict(schema)

    error = {"application/json": {"schema": schema_of(ErrorBody)}}
    paths: dict[str, Any] = {}
    for route in routes:
        operation: dict[str, Any] = {
            "summary": route.summary,
            "responses": {str(route.status): _success(route, schema_of)},
        }
        for status, meaning in route.errors.items():
            operation["responses"][str(status)] = {"description": meaning, "content": error}
        if route.body is not None or route.files:
            operation["requestBody"] = {"content": _contents(route, schema_of)}
        for path in (route.path, *route.aliases):
            operation = operation | {"parameters": _parameters(path, route.query)}
            paths.setdefault(re.sub(r"{(\w+):[^}]*}", r"{\1}", path), {})[route.method.lower()] = (
                operation
            )
    return {
        "openapi": "3.1.0",
        "info": {"title": "avatar-server", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{}, {"bearer": []}, {"basic": []}],
    }


def _contents(route: Route, schema_of: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    contents: dict[str, Any] = {}
    if route.body is not None:
        contents["application/json"] = {"schema": schema_of(route.body)}
    if route.files:
        binary = {"type": "string", "contentMediaType": "application/octet-stream"}
        properties = {name: binary | {"description": what} for name, what in route.files.items()}
        form: dict[str, Any] = {"type": "object", "properties": properties}
        if route.body is not None:
            form = {"allOf": [schema_of(route.body), form]}
        contents["multipart/form-data"] = {"schema": form}
    return contents


def _success(route: Route, schema_of: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    schema = schema_of(route.answer) if route.answer is not None else {"type": "string"}
    return {"description": route.summary, "content": {route.media_type: {"schema": schema}}}


def _parameters(path: str, query: Sequence[str]) -> list[dict[str, Any]]:
    text = {"type": "string"}
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in re.findall(r"{(\w+)[^}]*}", path)
    ]
    return in_path + [{"name": name, "in": "query", "schema": text} for name in query]
