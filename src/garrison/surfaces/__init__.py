"""How people and machines reach us; the only place that wires things together."""
