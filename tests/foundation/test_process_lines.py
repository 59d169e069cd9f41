"""What a program says is handed on while it runs."""

import sys

from model_envelope.foundation import process


def test_lines_of_both_streams_are_handed_on():
    out, err = [], []
    script = "import sys; print('one'); print('two'); sys.stderr.write('three\\nfour')"
    finished = process.run([sys.executable, "-c", script], on_line=out.append, on_error_line=err.append)
    assert finished.ok
    assert (out, err) == (["one", "two"], ["three", "four"])
    assert (finished.stdout, finished.stderr) == ("one\ntwo\n", "three\nfour")
