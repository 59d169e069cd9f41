"""Scores tables: what batch and Spark images run beside the runtime. Imports nothing else of this project.

A job reads a table (:mod:`sources`), asks the model through the one codec's Arrow road (:mod:`scorer`), and writes a
table (:mod:`sinks`); bad rows, the inference log and the run report go beside it.
"""
