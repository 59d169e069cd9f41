"""What is where an output is to be, and whether it admits of a job."""

from __future__ import annotations

import pyarrow as pa

from model_envelope.scoring.sinks.appending import check_columns
from model_envelope.scoring.sinks.formats import Style
from model_envelope.scoring.sinks.places import Kind, Local, Remote
from model_envelope.scoring.sinks.staging import RECORD, SUFFIX, Record
from model_envelope.scoring.tables import CannotWrite, Mode

_MOUNTED = {"lost+found"}
"""What is in an empty file system already."""


class Present:
    """What is at ``target``."""

    def __init__(self, name: str, place: Local | Remote, target: str, style: Style, record: Record) -> None:
        self._name, self._place, self._target = name, place, target
        self._style, self._record = style, record
        self._wanted: Kind = "file" if style.one_file else "folder"

    def data(self) -> list[str]:
        """List the files of a folder, without those of this tool."""
        if self._place.kind(self._target) != "folder":
            return []
        ours = (f"{SUFFIX}/", *(f"{name}/" for name in _MOUNTED))
        return [name for name in self._place.files(self._target) if not name.startswith(ours) and name != RECORD]

    def check_kind(self) -> Kind | None:
        """Tell what is there. Raises :class:`CannotWrite` for a folder in the place of a file and the like."""
        kind = self._place.kind(self._target)
        if kind not in {None, self._wanted}:
            found = "device or pipe" if kind == "other" else kind
            raise CannotWrite(
                f"{self._name} is a {found}, and the output is to be a {self._wanted}",
                code="output.exists" if kind != "other" else "output.special",
                hint="a name that ends as a file's does (.parquet, .csv) is one file; any other, or with a / behind, a "
                "folder",
            )
        return kind

    def check(self, mode: Mode, schema: pa.Schema) -> None:
        """Raise :class:`CannotWrite` where rows of this schema cannot be put there in this mode."""
        if self.check_kind() is None:
            return
        folder = self._wanted == "folder"
        inside = self._place.names(self._target).keys() - {SUFFIX, *_MOUNTED} if folder else set()
        if mode == "error" and (inside or not folder):
            raise CannotWrite(
                f"{self._name} exists already",
                code="output.exists",
                hint="replace it with --mode overwrite"
                + (", add to it with --mode append," if folder else "")
                + " or write elsewhere",
            )
        if "_delta_log" in inside:
            raise CannotWrite(
                f"{self._name} is a Delta table",
                code="output.foreign",
                hint=f"write to it as one: delta:{self._name}",
            )
        if inside and mode == "overwrite":
            self._check_tables()
        if inside and mode == "append":
            self._check_columns(schema)

    def _check_tables(self) -> None:
        known = {name for job in self._record.read() for name in job.files}
        foreign = [name for name in self.data() if name not in known and not self._tabular(name)]
        if foreign:
            raise CannotWrite(
                f"{self._name} holds what is no {self._style.format} table, such as {foreign[0]}",
                code="output.foreign",
                hint="overwriting replaces the whole folder; name another one, or move those files away",
            )

    def _tabular(self, name: str) -> bool:
        *folders, file = name.split("/")
        return all("=" in folder for folder in folders) and (file[:1] in {"_", "."} or self._style.owns(file))

    def _check_columns(self, schema: pa.Schema) -> None:
        first = next((name for name in self.data() if self._style.owns(name) and name[:1] not in {".", "_"}), None)
        if first is not None:
            path, name = f"{self._target}/{first}", f"{self._name} ({first})"
            check_columns(self._place, path, self._style, schema, name)
