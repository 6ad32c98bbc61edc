"""The everything server's tools that need something of the client in the newer era: they answer `input_required`."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from everything_tools import Changes, Context, Json, Params, Result, Tool, answer, text
from mcp.shared.exceptions import MCPError

Asked = dict[str, types.InputRequest]
INVALID_PARAMS = -32602


def form(message: str, **properties: str) -> types.ElicitRequest:
    """Elicits the named properties, all required, each of the given JSON type."""
    described: Json = {name: {"type": kind} for name, kind in properties.items()}
    schema: Json = {"type": "object", "properties": described, "required": list(properties)}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=text(prompt))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=100))


def ask(requests: Asked, state: str | None = None) -> types.InputRequiredResult:
    return types.InputRequiredResult(input_requests=requests, request_state=state)


def given(params: Any, key: str, kind: type[Any]) -> Any:
    """The response under the key, if it is there and of the kind that was asked for."""
    found = (params.input_responses or {}).get(key)
    return found if isinstance(found, kind) else None


NAME: Asked = {"user_name": form("What is your name?", name="string")}
CAPITAL: Asked = {"capital_question": sample("What is the capital of France?")}
ROOTS: Asked = {"client_roots": types.ListRootsRequest()}
CONFIRM: Asked = {"confirm": form("Please confirm", ok="boolean")}
CONTEXT: Asked = {"user_context": form("What context should the prompt use?", context="string")}
EVERYTHING: Asked = {**NAME, "greeting": sample("Generate a greeting"), **ROOTS}


async def elicits(context: Context, params: Params, changes: Changes) -> Result:
    response = given(params, "user_name", types.ElicitResult)
    if response is None:
        return ask(NAME)
    return answer(f"Hello, {(response.content or {}).get('name', 'stranger')}!")


async def samples(context: Context, params: Params, changes: Changes) -> Result:
    response = given(params, "capital_question", types.CreateMessageResult)
    if response is None:
        return ask(CAPITAL)
    return answer(getattr(response.content, "text", "(not text)"))


async def roots(context: Context, params: Params, changes: Changes) -> Result:
    response = given(params, "client_roots", types.ListRootsResult)
    if response is None:
        return ask(ROOTS)
    return answer(*(f"{root.name}: {root.uri}" for root in response.roots))


async def confirms(context: Context, params: Params, changes: Changes) -> Result:
    """The state is sealed on the way out and checked on the way in by the SDK's boundary."""
    if given(params, "confirm", types.ElicitResult) is None:
        return ask(CONFIRM, "confirming")
    if params.request_state != "confirming":
        raise MCPError(INVALID_PARAMS, "The request state is missing")
    return answer("state-ok")


async def everything(context: Context, params: Params, changes: Changes) -> Result:
    missing = {key: request for key, request in EVERYTHING.items() if key not in (params.input_responses or {})}
    return ask(missing, "everything") if missing else answer("All three were given.")


async def rounds(context: Context, params: Params, changes: Changes) -> Result:
    match params.request_state:
        case "first" if given(params, "step1", types.ElicitResult):
            return ask({"step2": form("Step 2: What is your favorite color?", color="string")}, "second")
        case "second" if given(params, "step2", types.ElicitResult):
            return answer("Two steps were taken.")
    return ask({"step1": form("Step 1: What is your name?", name="string")}, "first")


async def what_is_declared(context: Context, params: Params, changes: Changes) -> Result:
    """Asks only for what the client said that it can do."""
    able = context.session.client_capabilities or types.ClientCapabilities()
    wanted: Asked = {}
    if able.elicitation is not None:
        wanted |= NAME
    if able.sampling is not None:
        wanted |= CAPITAL
    return ask(wanted) if wanted.keys() - (params.input_responses or {}).keys() else answer("Nothing to ask for.")


def context_prompt(params: types.GetPromptRequestParams) -> str | types.InputRequiredResult:
    """A prompt's words, once the context is known."""
    response = given(params, "user_context", types.ElicitResult)
    return ask(CONTEXT) if response is None else f"In the context of {response.content}"


INPUT_TOOLS: dict[str, Tool] = {
    "test_input_required_result_elicitation": Tool("Elicits a name", elicits),
    "test_streaming_elicitation": Tool("Elicits on a stream", elicits),
    "test_input_required_result_sampling": Tool("Samples a capital", samples),
    "test_input_required_result_list_roots": Tool("Lists the client's roots", roots),
    "test_input_required_result_request_state": Tool("Keeps state with the client", confirms),
    "test_input_required_result_tampered_state": Tool("Refuses altered state", confirms),
    "test_input_required_result_multiple_inputs": Tool("Asks for three things", everything),
    "test_input_required_result_multi_round": Tool("Asks twice", rounds),
    "test_input_required_result_capabilities": Tool("Asks for what the client can do", what_is_declared),
}
