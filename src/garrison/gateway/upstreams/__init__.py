"""The gateway's view of the servers: connections, what they offer, and who is there."""
