"""A library that loads its languages by name, each a distribution of its own, as spaCy does."""

import importlib


def load(name):
    """Load a language by the name of its package, wherever that comes from."""
    return importlib.import_module(name).load()


class Language:
    def __init__(self, lemmas):
        self.lemmas = lemmas

    def __call__(self, text):
        return [self.lemmas.get(word, word) for word in text.lower().split()]
