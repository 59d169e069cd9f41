import json


def test_a_tree_for_people(cli, scorer):
    ran = cli("signature", scorer)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "predict(x, y, k=3)\n"
        "├── x  float64\n"
        "├── y  list of int64\n"
        "├── k  int64\n"
        "└── ->  list of float64\n"
        "greet(name)\n"
        "├── name  string\n"
        "└── ->  string\n"
        "async later(x)\n"
        "├── x  int64\n"
        "└── ->  int64\n"
    )


def test_one_method_of_the_tree(cli, scorer):
    assert cli("signature", scorer, "--method", "greet").out == "greet(name)\n├── name  string\n└── ->  string\n"


def test_a_document_on_stdout_and_what_is_lost_on_stderr(cli, scorer):
    ran = cli("signature", scorer, "--as", "open-inference")
    assert ran.code == 0
    assert [item["name"] for item in json.loads(ran.out)["inputs"]] == ["x", "y", "k"]
    said = "warning: open-inference cannot say all of it:"
    assert ran.err.splitlines() == [
        f"{said} has one method; these are left out, and `--method` writes them: `greet`, `later`",
        f"{said} every input is required, and none has a default: `k`",
    ]


def test_json(cli, scorer):
    result = cli("signature", scorer, "--as", "mlflow", "--method", "predict", "--json").result
    assert result.keys() == {"path", "digest", "form", "document", "lost"}
    assert result["form"] == "mlflow"
    assert json.loads(result["document"]["params"]) == [{"name": "k", "default": 3, "shape": None, "type": "long"}]
    native = cli("signature", scorer, "--json").result
    assert native["form"] == "native"
    assert list(native["document"]["methods"]) == ["predict", "greet", "later"]


def test_an_unknown_form_is_a_wrong_use(cli, scorer):
    ran = cli("signature", scorer, "--as", "xml")
    assert (ran.code, ran.out) == (2, "")
    assert "error[usage.form]: found the form `xml`, expected one of native, json-schema, openapi" in ran.err


def test_an_unknown_method(cli, scorer):
    ran = cli("signature", scorer, "--method", "guess", "--json")
    assert ran.code == 1
    assert ran.error["code"] == "signature.unknown-method"
