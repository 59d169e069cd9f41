import pytest

from model_envelope.foundation.errors import InvalidInput
from model_envelope.runtime import signature_document
from model_envelope.runtime.reading import read_envelope
from model_envelope.workflows.signature import FORMS, signature


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_written(scorer, form):
    result = signature(scorer, form=form)
    assert (result.path, result.digest, result.form) == (scorer, read_envelope(scorer).digest, form)
    assert result.document


def test_the_native_form_is_what_was_sealed(scorer):
    assert signature(scorer).document == signature_document.to_document(read_envelope(scorer).signature)
    assert signature(scorer).lost == ()
    assert list(signature(scorer, method="greet").signature.methods) == ["greet"]


def test_unknown_forms_and_methods_name_the_known_ones(scorer):
    with pytest.raises(InvalidInput, match="expected one of native, json-schema") as form:
        signature(scorer, form="xml")
    assert form.value.code == "signature.unknown-form"
    with pytest.raises(InvalidInput, match="expected one of predict, greet, later") as method:
        signature(scorer, method="guess")
    assert method.value.code == "signature.unknown-method"
