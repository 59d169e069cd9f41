"""What every source promises, whatever it reads: the same rows, in the same order, in batches of one size."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from source_cases import CASES, SCHEMA, sample

from model_envelope.scoring.filtering import read_filter
from model_envelope.scoring.sources import open_source
from model_envelope.scoring.tables import InvalidTable, Wanted

TYPES = dict(zip(SCHEMA.names, SCHEMA.types, strict=True))


@pytest.fixture(params=CASES, ids=str)
def case(request):
    return request.param


def rows_of(source, wanted):
    """Read all parts; each batch has to be what was promised."""
    found = []
    for part in source.parts():
        first, sizes = 0, []
        for batch in source.batches(part, wanted):
            assert batch.first == first
            assert batch.data.schema.names == list(wanted.types)
            assert not batch.broken
            batch.data.validate(full=True)
            first += batch.data.num_rows
            sizes.append(batch.data.num_rows)
            found += batch.data.to_pylist()
        assert all(size == wanted.rows for size in sizes[:-1])
        assert not sizes or 0 < sizes[-1] <= wanted.rows
        if part.rows is not None and wanted.where is None:
            assert part.rows == first
    return found


def test_all_rows_come_in_their_order(case, tmp_path):
    table = sample(300)
    source = open_source(case.write(tmp_path, table))
    assert set(source.schema().names) == set(table.column_names)
    assert rows_of(source, Wanted(TYPES)) == table.to_pylist()


@pytest.mark.parametrize("rows", [1, 7, 100, 101, 5000])
def test_batches_have_the_size_that_is_wanted(case, tmp_path, rows):
    table = sample(300 if rows > 1 else 40)
    source = open_source(case.write(tmp_path, table))
    assert rows_of(source, Wanted(TYPES, rows)) == table.to_pylist()


def test_parts_are_the_same_whenever_they_are_planned(case, tmp_path):
    location = case.write(tmp_path, sample(300))
    once, again = open_source(location), open_source(location)
    assert once.parts() == again.parts()
    assert [part.index for part in once.parts()] == list(range(len(once.parts())))
    read = [[batch.data.to_pylist() for batch in once.batches(part, Wanted(TYPES, 30))] for part in once.parts()]
    backwards = [
        [batch.data.to_pylist() for batch in again.batches(part, Wanted(TYPES, 30))] for part in again.parts()[::-1]
    ]
    assert read == backwards[::-1]


def test_columns_come_as_wanted_and_no_others(case, tmp_path):
    table = sample(300)
    source = open_source(case.write(tmp_path, table))
    for names in (["price"], ["kind", "id"], ["name", "day", "small"]):
        wanted = Wanted({name: TYPES[name] for name in names}, 90)
        assert rows_of(source, wanted) == table.select(names).to_pylist()


@pytest.mark.parametrize(
    ("where", "asked", "kept"),
    [
        ("small > 100", ("small",), lambda row: row["small"] is not None and row["small"] > 100),
        ("kind == 'b' and flag is not None", ("flag",), lambda row: row["kind"] == "b" and row["flag"] is not None),
        (
            "kind in ('a', 'c') and id < 4611686018427388000",
            (),
            lambda row: row["kind"] in "ac" and row["id"] < 2**62 + 96,
        ),
        ("day < '2013-02-01' or name == ''", ("day",), lambda row: f"{row['day']}" < "2013-02-01" or row["name"] == ""),
        ("id == 0", (), lambda row: False),
        ("kind == 'z'", (), lambda row: False),
    ],
)
def test_a_filter_leaves_rows_out(case, tmp_path, where, asked, kept):
    table = sample(300)
    source = open_source(case.write(tmp_path, table))
    types = {name: TYPES[name] for name in ("id", *asked)}
    wanted = Wanted(types, 50, read_filter(where, source.schema(), types))
    expected = [{name: row[name] for name in types} for row in table.to_pylist() if kept(row)]
    assert rows_of(source, wanted) == expected


def test_an_empty_table_has_a_part_and_no_rows(case, tmp_path):
    source = open_source(case.write(tmp_path, sample(0)))
    assert source.parts()
    assert rows_of(source, Wanted(TYPES)) == []


def test_types_are_those_that_are_wanted(case, tmp_path):
    source = open_source(case.write(tmp_path, sample(300)))
    [part, *_] = source.parts()
    batch = next(iter(source.batches(part, Wanted(TYPES, 10))))
    for name, type_ in TYPES.items():
        assert batch.data.schema.field(name).type in {type_, pa.string() if name == "kind" else type_}


def test_a_change_is_noticed(case, tmp_path):
    location = case.write(tmp_path, sample(300))
    source = open_source(location)
    before = source.state()
    assert before == open_source(location).state()
    case.write(tmp_path, sample(300).set_column(0, "id", pc.add(sample(300).column("id"), 1)))
    assert (open_source(location) if case.pinned else source).state() != before
    assert not case.pinned or source.state() == before


def test_a_column_that_there_is_not_is_told(case, tmp_path):
    source = open_source(case.write(tmp_path, sample(300)))
    with pytest.raises(InvalidTable, match="no column colour") as caught:
        list(source.batches(source.parts()[0], Wanted({"id": pa.int64(), "colour": pa.string()})))
    assert caught.value.code == "table.columns"
    assert "price" in caught.value.hint
