"""Measuring the gateway: an upstream that costs next to nothing, a load generator, and the budget of a call."""
