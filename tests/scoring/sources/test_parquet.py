"""What Parquet has beyond other files: row groups, footers, statistics, and datasets of many files."""

import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_cases import parquet_bytes

from model_envelope.scoring.filtering import read_filter
from model_envelope.scoring.location import read_location
from model_envelope.scoring.sources import open_source, parquet
from model_envelope.scoring.tables import Changed, InvalidTable, Wanted


def source_of(path, **options):
    return open_source(read_location(str(path), options))


def rows_of(source, wanted):
    return [row for part in source.parts() for batch in source.batches(part, wanted) for row in batch.data.to_pylist()]


def numbers(count, start=0):
    return pa.table(
        {"x": pa.array(range(start, start + count), pa.int64()), "y": pa.array(["text"] * count, pa.string())}
    )


def test_a_row_group_is_read_a_few_pages_at_a_time(tmp_path):
    rows = 2_000_000
    table = pa.table({"x": pa.array(random.Random(1).choices(range(2**62), k=rows), pa.int64())})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=rows, use_dictionary=False)
    del table
    source = source_of(tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size > 14_000_000
    before = pa.total_allocated_bytes()
    (part,) = source.parts()
    held = [pa.total_allocated_bytes() - before for _ in source.batches(part, Wanted({"x": None}))]
    assert len(held) == 31
    assert max(held) < 7_000_000


@pytest.mark.parametrize(
    ("groups", "parts"),
    [
        ([10], [(0, 10)]),
        ([40, 40, 40], [(0, 120)]),
        ([60, 60, 60, 60], [(0, 120), (120, 120)]),
        ([250], [(0, 250)]),
        ([100, 49], [(0, 149)]),
        ([100, 50], [(0, 100), (100, 50)]),
        ([30] * 9, [(0, 120), (120, 150)]),
    ],
)
def test_large_files_are_cut_at_row_groups(tmp_path, monkeypatch, groups, parts):
    monkeypatch.setattr(parquet, "PART_ROWS", 100)
    with pq.ParquetWriter(tmp_path / "t.parquet", numbers(0).schema) as writer:
        for at, size in enumerate(groups):
            writer.write_table(numbers(size, sum(groups[:at])), row_group_size=size)
    source = source_of(tmp_path / "t.parquet")
    for part, (start, size) in zip(source.parts(), parts, strict=True):
        assert part.rows == size
        batches = list(source.batches(part, Wanted({"x": None}, 64)))
        assert [batch.data.num_rows for batch in batches] == [64] * (size // 64) + [size % 64] * bool(size % 64)
        assert [row["x"] for batch in batches for row in batch.data.to_pylist()] == list(range(start, start + size))
    assert len({part.name for part in source.parts()}) == len(parts)


def test_batches_do_not_depend_on_row_groups(tmp_path):
    read = []
    for size in (7, 64, 1000):
        (tmp_path / f"{size}.parquet").write_bytes(parquet_bytes(numbers(1000), size))
        source = source_of(tmp_path / f"{size}.parquet")
        read.append([batch.data for batch in source.batches(source.parts()[0], Wanted({"y": None, "x": None}, 100))])
    assert read[0] == read[1] == read[2]
    assert len(read[0]) == 10


def test_a_file_without_its_end_is_told_before_any_work(tmp_path):
    for at in range(3):
        (tmp_path / f"{at}.parquet").write_bytes(parquet_bytes(numbers(100)))
    broken = tmp_path / "1.parquet"
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(InvalidTable, match=r"1\.parquet cannot be read as Parquet") as caught:
        source_of(tmp_path)
    assert caught.value.code == "table.unreadable"


def test_a_damaged_page_is_told_with_its_row_group(tmp_path):
    for at in range(3):
        (tmp_path / f"{at}.parquet").write_bytes(parquet_bytes(numbers(100, at * 100)))
    damaged = tmp_path / "1.parquet"
    raw = bytearray(damaged.read_bytes())
    column = pq.ParquetFile(damaged).metadata.row_group(1).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    raw[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    damaged.write_bytes(raw)
    source = source_of(tmp_path)
    first, second, third = source.parts()
    assert len(list(source.batches(first, Wanted({"x": None}, 10)))) == 10
    with pytest.raises(InvalidTable, match=r"1\.parquet cannot be read in row group 1"):
        list(source.batches(second, Wanted({"x": None}, 10)))
    assert len(list(source.batches(third, Wanted({"x": None}, 10)))) == 10
    # What is not wanted is not read either.
    assert len(list(source.batches(second, Wanted({"y": None}, 10)))) == 10


def test_a_file_that_changes_after_the_plan_is_told(tmp_path):
    (tmp_path / "t.parquet").write_bytes(parquet_bytes(numbers(100)))
    source = source_of(tmp_path / "t.parquet")
    part = source.parts()[0]
    (tmp_path / "t.parquet").write_bytes(parquet_bytes(numbers(90)))
    with pytest.raises(Changed, match="not the file that it was"):
        list(source.batches(part, Wanted({"x": None})))
    (tmp_path / "t.parquet").unlink()
    with pytest.raises(InvalidTable, match="is not there"):
        list(source.batches(part, Wanted({"x": None})))
    assert set(source.state().values()) == {"gone"}


def test_files_that_differ_are_named_all_at_once(tmp_path):
    tables = [
        numbers(3),
        numbers(3).rename_columns(["x", "z"]),
        pa.table({"x": [1.5], "y": ["a"]}),
        numbers(3).select(["y", "x"]),
    ]
    for at, table in enumerate(tables):
        (tmp_path / f"{at}.parquet").write_bytes(parquet_bytes(table))
    with pytest.raises(InvalidTable, match="do not have the same columns") as caught:
        source_of(tmp_path)
    assert caught.value.code == "table.mixed"
    said = {(problem.path.rpartition("/")[2], problem.found) for problem in caught.value.problems}
    assert said == {
        ("0.parquet", "no such column"),
        ("1.parquet", "no such column"),
        ("2.parquet", "no such column"),
        ("3.parquet", "no such column"),
        ("2.parquet", "x of type double"),
    }


def test_columns_come_in_any_order_and_nulls_have_any_type(tmp_path):
    (tmp_path / "0.parquet").write_bytes(parquet_bytes(pa.table({"x": pa.nulls(2), "y": ["a", "b"]})))
    (tmp_path / "1.parquet").write_bytes(parquet_bytes(pa.table({"y": ["c"], "x": [1]})))
    source = source_of(tmp_path)
    assert source.schema().field("x").type == pa.int64()
    rows = rows_of(source, Wanted({"x": None, "y": None}))
    assert rows == [{"x": None, "y": "a"}, {"x": None, "y": "b"}, {"x": 1, "y": "c"}]


def test_a_name_that_stands_twice_is_told(tmp_path):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    (tmp_path / "t.parquet").write_bytes(parquet_bytes(table))
    with pytest.raises(InvalidTable, match="more than one column x") as caught:
        source_of(tmp_path)
    assert caught.value.code == "table.duplicate"


def test_names_with_dots_and_structs_are_themselves(tmp_path):
    table = pa.table({"a": [{"b": 1}], "a.b": [2], "c d": [3]})
    (tmp_path / "t.parquet").write_bytes(parquet_bytes(table))
    source = source_of(tmp_path / "t.parquet")
    for name in table.column_names:
        assert rows_of(source, Wanted({name: None})) == table.select([name]).to_pylist()


def folders(root, *names):
    for at, name in enumerate(names):
        (root / name).mkdir(parents=True)
        (root / name / "t.parquet").write_bytes(parquet_bytes(numbers(2, at * 2)))


def test_folders_name_columns(tmp_path):
    folders(tmp_path, "year=2013/place=a%2Fb", "year=2014/place=c", "year=__HIVE_DEFAULT_PARTITION__/place=c")
    source = source_of(tmp_path)
    assert [str(source.schema().field(name).type) for name in ("year", "place")] == ["int64", "string"]
    rows = rows_of(source, Wanted({"place": None, "x": None, "year": None}))
    assert [(row["year"], row["place"], row["x"]) for row in rows] == [
        (2013, "a/b", 0), (2013, "a/b", 1), (2014, "c", 2), (2014, "c", 3), (None, "c", 4), (None, "c", 5),
    ]  # fmt: skip
    where = read_filter("year == 2014 and x > 2", source.schema())
    assert rows_of(source, Wanted({"x": None}, where=where)) == [{"x": 3}]
    assert rows_of(source, Wanted({"year": None}, where=where)) == [{"year": 2014}]
    plain = source_of(tmp_path, partitions="none")
    assert plain.schema().names == ["x", "y"]


def test_folders_of_other_parts_of_a_table_are_not_read(tmp_path):
    folders(tmp_path, "year=2013", "year=2014")
    (tmp_path / "year=2014" / "t.parquet").unlink()
    (tmp_path / "year=2014" / "t.parquet").symlink_to(tmp_path / "year=2013" / "t.parquet")
    source = source_of(tmp_path)
    where = read_filter("year == 2013", source.schema())
    damaged = (tmp_path / "year=2014" / "t.parquet").resolve()
    first, second = source.parts()
    assert [batch.data.num_rows for batch in source.batches(first, Wanted({"x": None}, where=where))] == [2]
    damaged.unlink()
    assert list(source.batches(second, Wanted({"x": None}, where=where))) == []


def test_folders_that_name_other_columns_are_told(tmp_path):
    folders(tmp_path, "year=2013", "month=1")
    with pytest.raises(InvalidTable, match="do not have the same columns"):
        source_of(tmp_path)


def test_a_column_in_files_and_folders_is_told(tmp_path):
    folders(tmp_path, "x=1")
    with pytest.raises(InvalidTable, match="as a column and in the names of its folders"):
        source_of(tmp_path)
    assert rows_of(source_of(tmp_path, partitions="none"), Wanted({"x": None})) == [{"x": 0}, {"x": 1}]


def test_statistics_spare_row_groups_without_a_wrong_row(tmp_path):
    start = datetime(2013, 1, 1, tzinfo=UTC)
    table = pa.table(
        {
            "x": pa.array([at if at % 9 else None for at in range(200)]),
            "seen": pa.array([start + timedelta(hours=at) for at in range(200)], pa.timestamp("ns", tz="UTC")),
            "kind": pa.array(["ab"[at // 100] for at in range(200)]).dictionary_encode(),
        }
    )
    (tmp_path / "t.parquet").write_bytes(parquet_bytes(table, 10))
    source = source_of(tmp_path / "t.parquet")
    for text, kept in {
        "x >= 95 and x < 105": [at for at in range(95, 105) if at % 9],
        "seen == '2013-01-02T00:00:00Z'": [24],
        "kind == 'b' and x is None": [at for at in range(100, 200) if not at % 9],
        "not x > 3": [at for at in range(4) if at % 9],
        "x not in (1, 2) and x < 5": [3, 4],
    }.items():
        rows = rows_of(source, Wanted({"seen": None}, 3, read_filter(text, source.schema())))
        assert [(row["seen"].value - int(start.timestamp()) * 10**9) // (3600 * 10**9) for row in rows] == kept


def test_a_huge_row_group_is_read_little_by_little(tmp_path):
    rows = 2_000_000
    pq.write_table(
        pa.table({"x": pa.array(range(rows)), "y": pa.array([float(at % 1000) for at in range(rows)])}),
        tmp_path / "t.parquet",
        row_group_size=rows,
    )
    source = source_of(tmp_path / "t.parquet")
    before = pa.total_allocated_bytes()
    peak = 0
    for batch in source.batches(source.parts()[0], Wanted({"x": None, "y": None}, 10_000)):
        peak = max(peak, pa.total_allocated_bytes() - before)
        assert batch.data.num_rows == 10_000
    assert peak < 12 << 20
