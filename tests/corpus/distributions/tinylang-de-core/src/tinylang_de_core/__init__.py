"""A language: data, and a function that reads it."""

import json
from importlib import resources

import tinylang


def load():
    text = resources.files(__name__).joinpath("data/lemmas.json").read_text(encoding="utf-8")
    return tinylang.Language(json.loads(text))
