"""The web app that answers for a model, in an image or in a local process.

It stands beside the runtime, imports nothing else of this package, and is copied byte for byte into images. Only
Starlette and uvicorn are needed beside what the model needs. ``python -m model_envelope.serving ENVELOPE`` starts it.
"""
