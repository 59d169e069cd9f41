"""Python's own values: scalars, containers, records, unions."""
