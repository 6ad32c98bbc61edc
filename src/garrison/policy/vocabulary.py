"""The words that policies can use, as a Cedar schema: policies are checked against it when they are loaded.

Arguments of a call are tags, by name and by type (`context.text`, `numbers`, `flags`, `lists`), because each tool has
its own: Cedar's checker then insists that a policy asks `hasTag` before it asks for the value, so that none can fail at
a call. `context.given` holds the names of all arguments, whatever their type. Inside of objects names are joined by `/`
as in JSON pointers (RFC 6901): `/` in a name is written `~1`, `~` is `~0`.
"""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal["tool", "prompt", "resource", "server"]
ACTION: Final[dict[str, str]] = {"tool": "call", "prompt": "get", "resource": "read", "server": "see"}
TYPE: Final[dict[str, str]] = {"tool": "Tool", "prompt": "Prompt", "resource": "Resource", "server": "Server"}

SCHEMA: Final = """
entity Role;
entity Group;
entity Principal in [Role, Group] {
  name: String,          // of the API key, or what the token says
  kind: String,          // key, token, certificate or local
  issuer: String,        // who vouches for it; "" for ourselves
  claims: Set<String>,   // the groups that its token or key names
  scopes: Set<String>,   // what its token was issued for
};
entity Server { server: String, serverMatches: Set<String> };
entity Tool in [Server] {
  server: String, name: String,
  readOnlyHint: Bool, destructiveHint: Bool, idempotentHint: Bool, openWorldHint: Bool,
  matches: Set<String>, serverMatches: Set<String>,   // patterns of grants with ? or [ that fit
};
entity Prompt in [Server] { server: String, name: String, matches: Set<String>, serverMatches: Set<String> };
entity Resource in [Server] { server: String, name: String, matches: Set<String>, serverMatches: Set<String> };

entity Text tags String;
entity Numbers tags Long;
entity Flags tags Bool;
entity Lists tags Set<String>;

type Client = { name: String, address: __cedar::ipaddr, era: String };
type Circumstances = {
  client: Client,
  now: __cedar::datetime,
  windows: Set<String>,  // those of the windows that some policy asks for that are open now
  given: Set<String>, text: Text, numbers: Numbers, flags: Flags, lists: Lists,
};
action call appliesTo { principal: Principal, resource: Tool, context: Circumstances };
action get appliesTo { principal: Principal, resource: Prompt, context: Circumstances };
action read appliesTo { principal: Principal, resource: Resource, context: Circumstances };
action approve appliesTo { principal: Principal, resource: Tool, context: Circumstances };
"""

Fact = Literal["arguments", "annotations", "name", "windows", "now", "client", "principal"]
"""What a decision may rest on beside the principal's roles and groups, and the server."""
ARGUMENTS: Final = frozenset({"given", "text", "numbers", "flags", "lists"})
ANNOTATIONS: Final = {
    "readOnlyHint": False,
    "destructiveHint": True,
    "idempotentHint": False,
    "openWorldHint": True,
}
"""What a server says of a tool, and what MCP takes it to have said when it did not."""
