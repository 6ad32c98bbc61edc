"""Names of MCP's methods and `_meta` keys, and the facts about them that tables can hold."""

from __future__ import annotations

INITIALIZE = "initialize"
INITIALIZED = "notifications/initialized"
PING = "ping"
DISCOVER = "server/discover"
LISTEN = "subscriptions/listen"
CANCELLED = "notifications/cancelled"
PROGRESS = "notifications/progress"
SET_LEVEL = "logging/setLevel"
TOOLS_LIST = "tools/list"
TOOLS_CALL = "tools/call"
PROMPTS_LIST = "prompts/list"
PROMPTS_GET = "prompts/get"
RESOURCES_LIST = "resources/list"
RESOURCES_READ = "resources/read"
TEMPLATES_LIST = "resources/templates/list"
COMPLETE = "completion/complete"
TASKS_LIST = "tasks/list"
TASKS_GET = "tasks/get"
TASKS_RESULT = "tasks/result"
TASKS_CANCEL = "tasks/cancel"
TASKS_UPDATE = "tasks/update"
LOG = "notifications/message"
UPDATED = "notifications/resources/updated"

META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
META_SERVER_INFO = "io.modelcontextprotocol/serverInfo"
META_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
META_LOG_LEVEL = "io.modelcontextprotocol/logLevel"
META_TASK = "io.modelcontextprotocol/related-task"
TASKS_EXTENSION = "io.modelcontextprotocol/tasks"

NAME_PARAM = {TOOLS_CALL: "name", PROMPTS_GET: "name", RESOURCES_READ: "uri"}
"""Methods whose target is named by a parameter, which `Mcp-Name` repeats (2026-07-28)."""

LIST_MEMBER = {
    TOOLS_LIST: "tools",
    PROMPTS_LIST: "prompts",
    RESOURCES_LIST: "resources",
    TEMPLATES_LIST: "resourceTemplates",
}
"""Listing methods and the member of the result that holds the list."""

LIST_CAPABILITY = {
    TOOLS_LIST: "tools",
    PROMPTS_LIST: "prompts",
    RESOURCES_LIST: "resources",
    TEMPLATES_LIST: "resources",
}
"""Listing methods and the server capability that says that they exist."""

LIST_CHANGED = {
    "notifications/tools/list_changed": (TOOLS_LIST,),
    "notifications/prompts/list_changed": (PROMPTS_LIST,),
    "notifications/resources/list_changed": (RESOURCES_LIST, TEMPLATES_LIST),
}
"""Notifications that say which lists are stale."""

ASKABLE = ("sampling", "elicitation", "roots")
"""Client capabilities that let a server ask in mid-call."""

CAN_BE_ASKED = frozenset(ASKABLE)

NEGOTIATED = (*ASKABLE, "extensions", "experimental")
"""Client capabilities that servers are told of."""

ASKED_BY = {"sampling/createMessage": "sampling", "elicitation/create": "elicitation", "roots/list": "roots"}
"""What a server can ask, and the client capability that allows it."""

ROOTS_CHANGED = "notifications/roots/list_changed"
SUBSCRIBE = "resources/subscribe"
UNSUBSCRIBE = "resources/unsubscribe"
SUBSCRIPTIONS = frozenset({SUBSCRIBE, UNSUBSCRIBE})

OF_TASKS = frozenset({TASKS_GET, TASKS_RESULT, TASKS_CANCEL, TASKS_UPDATE})
"""Methods that name a task by `taskId`: of 2025-11-25, and of the extension in 2026-07-28."""
NAME_IN_HEADER = {**NAME_PARAM, **dict.fromkeys(OF_TASKS, "taskId")}
"""What `Mcp-Name` repeats towards servers; many clients leave it out for tasks."""
TASK_NOTIFICATIONS = frozenset({"notifications/tasks/status", "notifications/tasks"})

CACHEABLE = frozenset({DISCOVER, RESOURCES_READ, *LIST_MEMBER})
"""Methods whose modern results carry `ttlMs` and `cacheScope`."""

REMOVED_IN_MODERN = frozenset({INITIALIZE, PING, SET_LEVEL, "resources/subscribe", "resources/unsubscribe"})
ONLY_IN_MODERN = frozenset({DISCOVER, LISTEN})
