"""What functions import that came with a pickle."""

import subprocess
import sys
import textwrap

import cloudpickle

from model_envelope.inference.by_value import imports_in


def late(things):
    import importlib

    import numpy as np
    from scipy import stats

    from . import never
    from .away import nothing

    return [importlib.import_module("yaml"), __import__("json"), np, stats, never, nothing, "text"]


def soft():
    try:
        import tqdm
    except ImportError:
        return None

    def inner():
        import statsmodels.api

        return statsmodels

    return tqdm, inner


def test_imports_of_code_are_read_from_its_bytecode():
    assert dict(imports_in(late.__code__)) == dict.fromkeys(
        ["importlib", "numpy", "scipy", "scipy.stats", "yaml", "json"], False
    )
    assert dict(imports_in(soft.__code__)) == {"tqdm": True, "statsmodels.api": False}


def test_functions_by_value_are_found_and_those_of_modules_are_not(tmp_path):
    late.__module__ = "__main__"
    (tmp_path / "late.pkl").write_bytes(cloudpickle.dumps(late))
    (tmp_path / "usual.py").write_text("def f():\n    import sqlite3\n")
    code = """
        import pickle, usual
        from model_envelope.inference.by_value import imports_by_value
        kept = pickle.load(open("late.pkl", "rb"))
        print([found for found in imports_by_value() if found[0] in ("yaml", "scipy.stats", "sqlite3")])
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    said = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said == f"[('scipy.stats', {__name__!r}, False), ('yaml', {__name__!r}, False)]\n"
