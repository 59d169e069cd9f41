"""The DAG, as a real Airflow reads it: in an environment of its own, since it would not go with what is here."""

import fcntl
import json
import os
import subprocess
import sys

import pytest

from model_envelope.dependencies.programs import find_uv
from model_envelope.workflows.render import render

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.xdist_group("airflow")]

PACKAGES = (
    "apache-airflow>=3,<4",
    "apache-airflow-providers-cncf-kubernetes",
    "apache-airflow-providers-docker",
)
READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag

def pod_of(task):
    if not hasattr(task, "build_pod_request_obj"):
        return None
    # Airflow asks where it runs itself, which is no cluster here.
    type(task).hook = type("Hook", (), {"is_in_cluster": False, "get_namespace": lambda self: None})()
    return task.build_pod_request_obj().to_dict()

bag = DagBag(sys.argv[1])
print(json.dumps({
    "errors": bag.import_errors,
    "dags": {
        dag.dag_id: {
            "timetable": str(dag.schedule),
            "zone": str(dag.timezone),
            "start": dag.start_date.in_timezone(dag.timezone).isoformat(),
            "catchup": dag.catchup,
            "runs": dag.max_active_runs,
            "tasks": [
                {
                    "operator": type(task).__name__,
                    "image": task.image,
                    "arguments": getattr(task, "arguments", None) or task.command,
                    "filled in": sorted({"arguments", "command"} & set(task.template_fields)),
                    "retries": task.retries,
                    "pod": pod_of(task),
                    "mounts": [dict(mount) for mount in getattr(task, "mounts", ())],
                }
                for task in dag.tasks
            ],
        }
        for dag in bag.dags.values()
    },
}, default=str))
"""


@pytest.fixture(scope="session")
def airflow(tmp_path_factory):
    """The Python of an environment with Airflow, made once for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    place, uv = base / "airflow", find_uv()
    with (base / "airflow.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (place / "done").is_file():
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, place], check=True)
            subprocess.run([uv, "pip", "install", "--quiet", "--python", place / "bin/python", *PACKAGES], check=True)
            (place / "done").touch()
    return place / "bin" / "python"


@pytest.fixture
def read(airflow, scorer, tmp_path):
    """Render a DAG with these settings, and give what Airflow reads in it."""

    def run(**settings):
        needed = {"input": "/data/in/{{ ds }}.parquet", "output": "/data/out/{{ ds }}/"}
        folder = render(scorer, target="airflow", into=tmp_path / "dags", settings={**needed, **settings}).path
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))},
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
        done = subprocess.run(
            [airflow, "-c", READ, folder], env=environ, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert found["errors"] == {}
        (dag,) = found["dags"].values()
        return dag

    return run


def test_airflow_reads_a_dag_that_runs_docker(read):
    dag = read(data="/srv/data", schedule="0 4 * * 1-5", timezone="Europe/Amsterdam", start="2025-03-01")
    assert dag["timetable"] == "0 4 * * 1-5"
    assert (dag["zone"], dag["start"]) == ("Europe/Amsterdam", "2025-03-01T00:00:00+01:00")
    assert (dag["catchup"], dag["runs"]) == (False, 1)
    (task,) = dag["tasks"]
    assert task["operator"] == "DockerOperator"
    assert task["image"].startswith("scorer-batch:")
    assert task["filled in"] == ["command"], "Airflow fills in `{{ ds }}` there"
    assert task["arguments"][:4] == ["--input", "/data/in/{{ ds }}.parquet", "--output", "/data/out/{{ ds }}/"]
    assert task["retries"] == 2
    assert task["mounts"] == [{"Target": "/data", "Source": "/srv/data", "Type": "bind", "ReadOnly": False}]


def test_airflow_reads_a_dag_that_runs_a_pod_hardened(read):
    dag = read(operator="kubernetes", data="flights", secret="warehouse", memory="4Gi", retries="5")
    (task,) = dag["tasks"]
    assert (task["operator"], task["filled in"], task["retries"]) == ("KubernetesPodOperator", ["arguments"], 5)
    spec = task["pod"]["spec"]
    (container,) = spec["containers"]
    assert container["args"][:2] == ["--input", "/data/in/{{ ds }}.parquet"]
    assert container["env_from"][0]["secret_ref"]["name"] == "warehouse"
    assert container["resources"]["limits"]["memory"] == "4Gi"
    assert container["security_context"]["read_only_root_filesystem"] is True
    assert container["security_context"]["capabilities"]["drop"] == ["ALL"]
    assert spec["security_context"]["run_as_non_root"] is True
    assert spec["automount_service_account_token"] is False
    assert {mount["mount_path"] for mount in container["volume_mounts"]} == {"/tmp", "/data"}
