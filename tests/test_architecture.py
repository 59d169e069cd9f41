"""What ARCHITECTURE.md says that the code can check."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent


def test_the_table_of_types_is_what_the_code_says():
    script = CHECKOUT / ".ci" / "types_table.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run `make types`\n{done.stderr}"
