"""Floor 2: writes envelopes. A draft is filled, then sealed by one rename; after that only the ledger grows."""
