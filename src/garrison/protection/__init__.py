"""Nothing irreversible without a record: the append-only, tamper-evident ledger."""
