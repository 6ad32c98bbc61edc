"""HTTP beside the MCP endpoints: health, metrics, and the admin API that the command line speaks to."""
