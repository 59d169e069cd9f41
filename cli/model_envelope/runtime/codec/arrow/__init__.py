"""Arrow IPC streams against the signature."""
