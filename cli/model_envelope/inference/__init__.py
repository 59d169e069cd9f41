"""Floor 3: finds the signature of a model by loading it and letting it answer its samples.

:mod:`probe` is the toolchain's side. Everything else here runs in child processes of the packing interpreter and is
carried there beside the runtime; it imports nothing of the toolchain.
"""
