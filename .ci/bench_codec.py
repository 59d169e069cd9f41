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
from model_envelope.runtime.codec.answers import encode_answer, split_answer
from model_envelope.runtime.codec.arrow.streams import decode_arrow, encode_arrow_arguments
from model_envelope.runtime.codec.requests import decode_request, merge_requests
from model_envelope.runtime.codec.text import fast_parser

ROWS = 1000
TOGETHER = 32
BUDGETS = {ROWS: 0.5, 1: 1.2}
ENCODING = {ROWS: 1.2}
"""What encoding may take, as a multiple of ``to_json`` of pandas."""


def main() -> None:
    """Print one line a figure: the medians, their ratio and the budget."""
    frame = mixed(ROWS)
    table = type_of(frame)
    codec = MethodCodec(s.Method((s.Parameter("x", table),), table), {})
    series = MethodCodec(s.Method((), type_of(frame["height"])), {})
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
            lambda head=head: encode_answer(codec, head),
        )
        tell(f"encoding {rows} x {len(frame.columns)}, against to_json", bare, ours, ENCODING.get(rows))
        numbers = head["height"]
        bare, ours = medians(
            lambda numbers=numbers: numbers.to_json(orient="values").encode(),
            lambda numbers=numbers: encode_answer(series, numbers),
        )
        tell(f"encoding a series of {rows}, against to_json", bare, ours, ENCODING.get(rows))
        stream = encode_arrow_arguments(codec, {"x": head})
        table, ours = medians(
            lambda stream=stream: pa.ipc.open_stream(stream).read_all().to_pandas(),
            lambda stream=stream: decode_arrow(codec, stream),
        )
        tell(f"decoding {rows} x {len(frame.columns)} from Arrow, against to_pandas", table, ours, None)
    together(codec, frame)


def together(codec: MethodCodec, frame: pd.DataFrame) -> None:
    """Print what requests of one row cost that are read and answered together, against one of them alone."""
    rows = [frame.iloc[at : at + 1].reset_index(drop=True) for at in range(TOGETHER)]
    bodies = [dump_json(codec.encode_arguments({"x": row})) for row in rows]
    alone, ours = medians(lambda: decode_request(codec, bodies[0]), lambda: merge_requests(codec, bodies))
    tell(f"decoding {TOGETHER} requests of a row, against one", alone, ours, None)
    answers = frame["height"].head(TOGETHER)
    labels = MethodCodec(s.Method((), type_of(answers)), {})
    alone, ours = medians(lambda: encode_answer(labels, answers), lambda: split_answer(labels, answers, [1] * TOGETHER))
    tell(f"splitting an answer in {TOGETHER}, against whole", alone, ours, None)


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
