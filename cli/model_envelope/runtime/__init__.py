"""Floor 0: what reads an envelope and lets its model answer.

Standard library only at import. It is copied byte for byte into images, so that the command line tool, the service and
the batch job read the same signature with the same codec.
"""
