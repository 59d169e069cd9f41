"""Measure the codec against pandas alone in one run: `make bench`.

A request of 1,000 rows by 9 mixed columns, and one of a single row, from the bytes of the body to a DataFrame: by the
codec, validation included, and by ``pandas.DataFrame(json.loads(body)["x"])``, without any. They take turns, and the
medians are compared. Without a fast parser the budget of the first is not promised, and the line says which one read.
"""

import json
import random
import statistics
import time
from collections.abc import Callable

import pandas as pd
import pyarrow as pa

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, dump_json
from model_envelope.runtime.codec.arrow.streams import decode_arrow, encode_arrow_arguments
from model_envelope.runtime.codec.requests import decode_request
from model_envelope.runtime.codec.text import fast_parser

ROWS = 1000
BUDGETS = {ROWS: 0.5, 1: 1.2}


def main() -> None:
    """Print one line a figure: the medians, their ratio and the budget."""
    frame = mixed(ROWS)
    table = type_of(frame)
    codec = MethodCodec(s.Method((s.Parameter("x", table),), table), {})
    parser = "msgspec" if fast_parser() else "standard library"
    print(f"{f'JSON read by the {parser}':42}{'pandas':>9}{'codec':>9}{'ratio':>8}{'budget':>8}")
    for rows, budget in BUDGETS.items():
        body = dump_json(codec.encode_arguments({"x": frame.head(rows)}))
        bare, ours = medians(
            lambda body=body: pd.DataFrame(json.loads(body)["x"]), lambda body=body: decode_request(codec, body)
        )
        tell(f"decoding {rows} x {len(frame.columns)}", bare, ours, budget)
        head = frame.head(rows)
        bare, ours = medians(
            lambda head=head: head.to_json(orient="records", date_format="iso").encode(),
            lambda head=head: dump_json(codec.encode(head)),
        )
        tell(f"encoding {rows} x {len(frame.columns)}, against to_json", bare, ours, None)
        stream = encode_arrow_arguments(codec, {"x": head})
        table, ours = medians(
            lambda stream=stream: pa.ipc.open_stream(stream).read_all().to_pandas(),
            lambda stream=stream: decode_arrow(codec, stream),
        )
        tell(f"decoding {rows} x {len(frame.columns)} from Arrow, against to_pandas", table, ours, None)


def mixed(rows: int) -> pd.DataFrame:
    """Make a table of nine columns of nine kinds."""
    rnd = random.Random(7)
    some = range(rows)
    return pd.DataFrame(
        {
            "age": [rnd.randint(0, 99) for _ in some],
            "height": [rnd.random() * 2 for _ in some],
            "score": [rnd.choice([None, rnd.random()]) for _ in some],
            "member": [rnd.random() < 0.5 for _ in some],
            "visits": pd.array([rnd.choice([None, rnd.randint(0, 9)]) for _ in some], dtype="Int64"),
            "name": [f"name {rnd.randint(0, 999)}" for _ in some],
            "city": pd.Categorical(["Ulm", *rnd.choices(["Ulm", "Oslo", "Rome"], k=rows - 1)], ["Oslo", "Rome", "Ulm"]),
            "since": pd.to_datetime([f"2020-0{rnd.randint(1, 9)}-1{rnd.randint(0, 9)}T10:00:00" for _ in some]),
            "weight": [rnd.random() * 100 for _ in some],
        }
    )


def medians(*functions: Callable[[], object], rounds: int = 101) -> list[float]:
    """Give each function's median time; they take turns, after some rounds that do not count."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(rounds + 10):
        for function, found in zip(functions, times, strict=True):
            began = time.perf_counter()
            function()
            if turn >= 10:
                found.append(time.perf_counter() - began)
    return [statistics.median(found) for found in times]


def tell(what: str, bare: float, ours: float, budget: float | None) -> None:
    """Print one line."""
    promised = "" if budget is None else f"{budget:g}"
    print(f"{what:42}{bare * 1e6:6.0f} us{ours * 1e6:6.0f} us{ours / bare:8.2f}{promised:>8}", flush=True)


if __name__ == "__main__":
    main()
