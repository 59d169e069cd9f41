"""Builds small models: pickled objects of a local module, without any package, so that packing them is quick."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

SHOP = """
    from prices import base

    class Pricer:
        \"\"\"Prices a basket.\"\"\"

        def __init__(self, factor):
            self.factor = factor

        def predict(self, items: list[str], discount: float = 0.0) -> float:
            return round(sum(base(item) for item in items) * self.factor * (1 - discount), 2)

        def explain(self, items: list[str]) -> dict[str, float]:
            return {item: base(item) for item in items}
"""
PRICES = """
    def base(item):
        return float(len(item))
"""
SAMPLE = {"items": ["ham", "cheese"], "discount": 0.5}


def write_module(folder: Path, name: str, source: str) -> None:
    (folder / f"{name}.py").write_text(textwrap.dedent(source))


def shop(folder: Path) -> Path:
    """Write the modules, the pickle and `samples.json` of a pricing model; give the pickle."""
    folder.mkdir(parents=True, exist_ok=True)
    write_module(folder, "shop", SHOP)
    write_module(folder, "prices", PRICES)
    dump(folder, "shop.Pricer(1.5)", "model.pkl")
    (folder / "samples.json").write_text(json.dumps(SAMPLE))
    return folder / "model.pkl"


def dump(folder: Path, expression: str, name: str = "m.pkl", python: str | Path = sys.executable) -> None:
    """Pickle what an expression over a local module gives, as ``shop.Pricer(1.5)``, in a process of its own."""
    module = expression.partition(".")[0]
    code = f"import pickle, sys; sys.path.insert(0, '.'); import {module}; "
    run(folder, f"{code}pickle.dump({expression}, open({name!r}, 'wb'))", python)


def run(folder: Path, code: str, python: str | Path = sys.executable) -> None:
    """Run code in a folder, in a process of its own: what it imports stays out of the tests."""
    subprocess.run([python, "-c", textwrap.dedent(code)], cwd=folder, check=True)
