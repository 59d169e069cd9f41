"""What tests of whole jobs share: a model that scores tables, and tables for it."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import NUMBER, TEXT, make_envelope

from model_envelope.runtime import signature as s

SOURCE = '''
import os
import time


class Model:
    """Works on tables of Arrow: no other package is needed."""

    def predict(self, table, *, pause=0.0):
        import pyarrow as pa

        ages = table.column("age").to_pylist()
        print("asked for", len(ages))
        time.sleep(pause)
        if 13.0 in ages:
            raise ValueError("thirteen brings bad luck")
        if 99.0 in ages:
            os.kill(os.getpid(), 9)
        return pa.table({"score": pa.array([age * 2 for age in ages], pa.float64())})
'''
PEOPLE = s.Table(
    (s.Column("age", NUMBER, "double"), s.Column("name", TEXT, "string")), flavor=s.Flavor.PYARROW, cls="Table"
)
SCORES = s.Table((s.Column("score", NUMBER, "double"),), flavor=s.Flavor.PYARROW, cls="Table")
PAUSE = s.Parameter("pause", NUMBER, s.Kind.KEYWORD, required=False, default=0.0)
METHODS = {"predict": s.Method((s.Parameter("table", PEOPLE), PAUSE), SCORES, row_wise=s.Answer.YES)}


@pytest.fixture
def ages(tmp_path):
    """The envelope of a model that doubles ages."""
    return make_envelope(tmp_path, SOURCE, METHODS, {}, name="ages")


@pytest.fixture
def table(tmp_path):
    """A function that writes a Parquet file of people with these ages."""

    def write(*found, name="in.parquet", **columns):
        columns = {"age": pa.array(found, pa.float64()), "name": [f"n{at}" for at in range(len(found))]} | columns
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), path)
        return path

    return write
