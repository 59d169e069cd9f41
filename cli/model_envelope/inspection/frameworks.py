"""Which framework a model is of, told by the modules that its pickle names."""

from __future__ import annotations

from model_envelope.inspection.pickles import Scan

FRAMEWORKS: tuple[tuple[str, str], ...] = (
    ("xgboost", "xgboost"),
    ("lightgbm", "lightgbm"),
    ("catboost", "catboost"),
    ("torch", "torch"),
    ("keras", "keras"),
    ("tensorflow", "tensorflow"),
    ("prophet", "prophet"),
    ("statsmodels", "statsmodels"),
    ("lifelines", "lifelines"),
    ("pmdarima", "pmdarima"),
    ("gensim", "gensim"),
    ("spacy", "spacy"),
    ("implicit", "implicit"),
    ("surprise", "scikit-surprise"),
    ("imblearn", "imbalanced-learn"),
    ("sklearn", "scikit-learn"),
    ("scipy", "scipy"),
)
"""Top-level module and distribution, the more particular first: a pipeline of scikit-learn may end in a booster."""


def recognise(scan: Scan) -> str | None:
    """Give the name of the distribution that a model is of; None for a class of one's own.

    The class of the model itself decides where it belongs to a framework; else the most particular one that is named.
    """
    named = {found.module.partition(".")[0] for found in scan.globals}
    own = scan.root.module.partition(".")[0] if scan.root else ""
    table = dict(FRAMEWORKS)
    # A pipeline or a search of scikit-learn says little about the model inside it.
    if own in table and own != "sklearn":
        return table[own]
    return next((distribution for module, distribution in FRAMEWORKS if module in named), None)
