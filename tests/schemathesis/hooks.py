"""What an OpenAPI document cannot say, for scripts/schemathesis: which functions there are, what components and models
are, and that options are in the body or in the query, not in both. Only requests that are meant to be right are
mended; those that are meant to be wrong go out as they are."""

import hashlib
import os
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

GUESTS = Path(os.environ["SKEP_GUESTS"])
MODEL = (Path(os.environ["SKEP_MODELS"]) / "add.onnx").read_bytes()
FUNCTION = "echo"

COMPONENTS = st.just((GUESTS / "multiply.wasm").read_bytes())
schemathesis.openapi.media_type("application/wasm", COMPONENTS, aliases=["application/octet-stream"])


def raw(context, value):
    return {"data": value if isinstance(value, bytes) else str(value).encode()}


for name in ("application/x-ndjson", "application/onnx"):
    schemathesis.serializer(name)(raw)


def of_job(key, body):
    """A key is one of a job: this one is that of the job with this body."""
    return key[:100] + hashlib.sha256(repr(body).encode()).hexdigest()[:16]


def whole(value):
    if isinstance(value, dict):
        return {name: whole(one) for name, one in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.hook
def before_call(context, case, kwargs):
    meta = case.meta
    query = case.query if isinstance(case.query, dict) else None
    if query is not None and isinstance(query.get("wait_ms"), int):
        # What waits for a job that never runs would wait for a minute.
        query["wait_ms"] = min(query["wait_ms"], 50)
    operation = context.operation.definition.raw.get("operationId")
    if operation == "forgetFunction" and query and query.get("name") == FUNCTION:
        # It is needed to the end.
        query["name"] = "divide"
    if operation == "removeFunction" and case.path_parameters.get("name") == FUNCTION:
        case.path_parameters["name"] = "divide"
    if meta is None or meta.generation.mode.is_negative:
        return
    if case.media_type == "application/json" and isinstance(case.body, dict):
        # For JSON Schema 5.0 is a whole number; for skep, as for most parsers, it is none.
        case.body = whole(case.body)
    if operation == "postJob":
        # Functions are deployed in one namespace.
        case.headers.pop("Skep-Namespace", None)
        if case.media_type == "application/json" and isinstance(case.body, dict):
            case.query = {}
            case.body["functions"] = [FUNCTION]
            # Nobody is called from here.
            case.body.pop("callback", None)
            # The limit of that name is given once, and no message is over its own limit.
            case.body.pop("timeout_ms", None)
            case.body.get("limits", {}).pop("message_bytes", None)
            place, key = case.body, case.body.pop("idempotency_key", None)
        else:
            case.query = query = query or {}
            # Any other body is the message itself.
            case.body = b"a message"
            case.media_type = case.headers["Content-Type"] = "application/octet-stream"
            query["functions"] = FUNCTION
            for name in ("callback", "timeout_ms", "limits"):
                query.pop(name, None)
            place, key = query, query.pop("idempotency_key", None)
        in_header = case.headers.pop("Idempotency-Key", None)
        if key is not None:
            place["idempotency_key"] = of_job(key, case.body)
        elif in_header is not None:
            case.headers["Idempotency-Key"] = of_job(in_header, case.body)
    if operation == "postJobs":
        case.headers.pop("Skep-Namespace", None)
    if operation == "addModel":
        case.body = MODEL
        # Its tensors have names of their own, and not every host has every engine.
        for name in ("pad", "batch_axis", "engine", "device"):
            (query or {}).pop(name, None)
    if operation == "deployFunction":
        # What the component offers.
        case.path_parameters["name"] = "multiply"
