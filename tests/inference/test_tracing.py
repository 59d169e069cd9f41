"""What a process that traces notes; in a process of its own, as a trace never stops."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from dataclasses import asdict
sys.path.insert(0, sys.argv[1])
from model_envelope.inference.tracing import Trace
trace = Trace()
trace.start()
import outer
outer.work()
open(sys.argv[1] + "/table.csv").close()
print(json.dumps(asdict(trace.noted())))
"""


def test_notes_who_imports_what_when_and_what_is_opened(tmp_path):
    (tmp_path / "outer.py").write_text(
        "import inner\n\ndef load():\n    import early\n\nload()\n\ndef work():\n    import late\n"
    )
    (tmp_path / "late.py").write_text("import after\n")
    for name in ("inner", "early", "after"):
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "table.csv").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    noted = json.loads(done.stdout)
    assert {name: noted["importers"][name] for name in ("inner", "early", "late", "after")} == {
        "inner": "outer",
        "early": "outer",
        "late": "outer",
        "after": "late",
    }
    assert {"outer", "late"} <= set(noted["late"])
    assert not {"inner", "early", "after"} & set(noted["late"])
    assert str(tmp_path / "table.csv") in noted["opened"]
