"""Tables and series, one module a library."""
