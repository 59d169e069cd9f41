"""Files that run batch images: a DAG of Airflow and a CronJob of Kubernetes, as they are rendered."""

import ast
import json
import shlex

import kubernetes_validate
import pytest
import yaml

from model_envelope.foundation.errors import InvalidInput, Refused
from model_envelope.runtime.reading import read_envelope
from model_envelope.targets.target import all_targets, find_target
from model_envelope.workflows.build import build
from model_envelope.workflows.lock import lock
from model_envelope.workflows.render import render

FILES = [target for target in all_targets() if not target.makes_image]
NEEDED = {"input": "/data/in.parquet", "output": "/data/out/"}
KUBERNETES = {
    "operator": "kubernetes",
    "data": "flights-data",
    "secret": "warehouse",
    "namespace": "models",
    "cpu": "0.5",
}
CASES = {
    "airflow-docker.py": ("airflow", {"data": "/srv/data", "schedule": "0 4 * * 1-5", "timezone": "Europe/Amsterdam"}),
    "airflow-kubernetes.py": ("airflow", {**KUBERNETES, "service-account": "scorer"}),
    "airflow-plain.py": ("airflow", {}),
    "cronjob.yaml": ("cronjob", {name: value for name, value in KUBERNETES.items() if name != "operator"}),
    "cronjob-plain.yaml": ("cronjob", {"service-account": "scorer"}),
}
ODD = "name == 'ö\\\"' <&> $(HOME) {{ ds }}"
"""What no format of files may take for its own: quotes, backslashes, letters of others, marks of templates."""


def rendered(envelope, into, target, settings):
    (path,) = render(envelope, target=target, into=into, settings={**NEEDED, **settings}).path.iterdir()
    return path


@pytest.mark.parametrize("name", CASES)
def test_what_is_rendered(scorer, tmp_path, golden, name):
    target, settings = CASES[name]
    text = rendered(scorer, tmp_path / "out", target, settings).read_text()
    files = read_envelope(scorer)
    golden(name, text.replace(files.digest, "DIGEST").replace(files.short_digest, "SHORT"))


def test_the_goldens_are_of_every_target_of_files():
    assert {target for target, _ in CASES.values()} == {target.kind for target in FILES}


@pytest.mark.parametrize("target", FILES, ids=lambda target: target.kind)
def test_the_same_settings_give_the_same_folder(scorer, tmp_path, target):
    first = render(scorer, target=target.kind, into=tmp_path, settings=NEEDED)
    assert first.path.name == f"scorer-{read_envelope(scorer).short_digest}-{target.kind}"
    assert (first.base_image, first.base_digest) == (None, None)
    assert str(first.path) in first.command
    assert render(scorer, target=target.kind, into=tmp_path, settings=NEEDED) == first
    with pytest.raises(Refused) as caught:
        render(scorer, target=target.kind, into=tmp_path, settings={**NEEDED, "mode": "append"})
    assert caught.value.code == "target.exists"


def words_of(path):
    """The arguments that a rendered file hands to the job."""
    if path.suffix == ".yaml":
        return containers(yaml.safe_load(path.read_text()))["args"]
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "ARGUMENTS":
            return ast.literal_eval(node.value)
    raise AssertionError(path.read_text())


def pod(document):
    return document["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def containers(document):
    (found,) = pod(document)["containers"]
    return found


@pytest.mark.parametrize("target", FILES, ids=lambda target: target.kind)
def test_values_reach_the_job_as_they_were_said(scorer, tmp_path, target):
    settings = {
        "input": "s3://b/{{ ds }}/*.parquet",
        "arguments": shlex.join(["--keep", "id", "--where", ODD]),
        "method": "predict",
    }
    found = words_of(rendered(scorer, tmp_path, target.kind, settings))
    assert found[:8] == [
        *("--input", "s3://b/{{ ds }}/*.parquet", "--output", "/data/out/", "--mode", "overwrite"),
        *("--method", "predict"),
    ]
    assert found[8:12] == ["--keep", "id", "--where", ODD]


def test_the_image_is_the_one_that_build_names(scorer, tmp_path):
    named = f"scorer-batch:{read_envelope(scorer).short_digest}"
    one = yaml.safe_load(rendered(scorer, tmp_path / "one", "cronjob", {}).read_text())
    assert containers(one)["image"] == named
    own = {"image": "registry.example.com/team/flights@sha256:" + "a" * 64}
    other = yaml.safe_load(rendered(scorer, tmp_path / "two", "cronjob", own).read_text())
    assert containers(other)["image"] == own["image"]


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith(".yaml")])
def test_kubernetes_takes_the_cronjob_and_it_is_hardened(scorer, tmp_path, name):
    document = yaml.safe_load(rendered(scorer, tmp_path, *CASES[name]).read_text())
    kubernetes_validate.validate(document, "1.31", strict=True)
    assert document["spec"]["concurrencyPolicy"] == "Forbid"
    job, inside, runs = document["spec"]["jobTemplate"]["spec"], pod(document), containers(document)
    assert job["backoffLimit"] == 3
    assert inside["restartPolicy"] == "Never", "a pod failure policy needs that"
    assert inside["securityContext"]["runAsNonRoot"] is True
    # What the standard `restricted` asks for, and no file that can be written but below /tmp.
    assert inside["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert runs["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert runs["resources"]["limits"] == runs["resources"]["requests"]
    assert {"name": "tmp", "emptyDir": {}} in inside["volumes"]


def test_a_name_fits_kubernetes_whatever_the_envelope_is_called(scorer, tmp_path):
    document = json.loads((scorer / "envelope.json").read_text())
    from handmade import seal

    for name, expected in (("My_Model.v2", "my-model-v2-batch"), ("a" * 80, f"{'a' * 46}-batch")):
        (scorer / "envelope.json").write_text(json.dumps({**document, "name": name}))
        seal(scorer)
        path = rendered(scorer, tmp_path / expected, "cronjob", {})
        assert yaml.safe_load(path.read_text())["metadata"]["name"] == expected


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"input": ""}, ["input"]),
        ({"cpus": "2", "memory": "2 GB"}, ["cpus", "memory"]),
        ({"mode": "replace", "method": "fit"}, ["method", "mode"]),
        ({"retries": "-1", "cpu": "many", "name": "My_Job"}, ["cpu", "name", "retries"]),
        ({"schedule": "@daily\nkind: Secret"}, ["schedule"]),
        ({"arguments": "--where 'a"}, ["arguments"]),
        ({"data": "/srv/data", "secret": "A B"}, ["data", "secret"]),
    ],
)
def test_settings_that_make_no_sense_are_told_together(scorer, tmp_path, settings, wrong):
    with pytest.raises(InvalidInput) as caught:
        render(scorer, target="cronjob", into=tmp_path / "out", settings={**NEEDED, **settings})
    assert caught.value.code == "target.setting"
    assert sorted(problem.path for problem in caught.value.problems) == wrong
    assert "--set NAME=VALUE" in caught.value.hint
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("target", FILES, ids=lambda target: target.kind)
def test_no_image_is_made_of_files(scorer, target):
    for attempt in (lambda: build(scorer, target=target.kind), lambda: lock(scorer, target=target.kind, prove=False)):
        with pytest.raises(InvalidInput) as caught:
            attempt()
        assert caught.value.code == "target.no-image"
        assert "--target batch" in caught.value.hint or "--for batch" in caught.value.hint
    with pytest.raises(InvalidInput) as caught:
        render(scorer, target=target.kind, settings=NEEDED, base_image="python:3.11")
    assert caught.value.code == "target.no-image"


def test_an_image_takes_no_settings(scorer, tmp_path):
    with pytest.raises(InvalidInput) as caught:
        render(scorer, target="batch", into=tmp_path, settings={"input": "x"})
    assert caught.value.code == "target.setting"
    assert find_target("batch").summary
