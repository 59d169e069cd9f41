"""Spark for tests: a session on this machine, and a cluster of one worker."""

import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def spark_home() -> Path:
    """Where Spark is installed. Skips where there is no Java, but for continuous integration, which promises one."""
    import pyspark

    java = os.environ.get("JAVA_HOME") or shutil.which("java")
    if java is None:
        if os.environ.get("CI") == "true":
            pytest.fail("this machine must have Java 17 or newer, for Spark", pytrace=False)
        pytest.skip("no Java, which Spark needs")
    return Path(pyspark.__file__).parent


@pytest.fixture(scope="session")
def spark_settings(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("spark")
    return {
        "spark.driver.memory": "1g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.local.dir": str(folder / "local"),
    }


@pytest.fixture(scope="session")
def spark(spark_home, spark_settings):
    """A session with two cores of this machine, which a job finds as that of the program around it."""
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master("local[2]").appName("tests")
        for name, value in spark_settings.items():
            builder = builder.config(name, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            started = builder.getOrCreate()
            started.sparkContext.setLogLevel("OFF")  # failures are provoked here
            yield started
            started.stop()


@pytest.fixture
def cluster(spark_home, tmp_path):
    """The URL of a standalone master on this machine, with one worker of one core."""
    port = free_port()
    environment = {**os.environ, "SPARK_HOME": str(spark_home), "SPARK_LOCAL_IP": "127.0.0.1"}
    environment |= {"SPARK_WORKER_DIR": str(tmp_path / "work"), "SPARK_DAEMON_MEMORY": "512m"}
    url = f"spark://127.0.0.1:{port}"
    master = ["org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(port)]
    worker = ["org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--cores", "1", "--memory", "1g"]
    log = tmp_path / "cluster.log"
    started = []
    try:
        with log.open("wb") as out:
            for program in ([*master, "--webui-port", "0"], [*worker, "--webui-port", "0", url]):
                command = [spark_home / "bin" / "spark-class", *program]
                process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=tmp_path)
                started.append(process)
        wait_for(log, "Successfully registered with master")
        yield url
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(log: Path, text: str) -> None:
    end = time.monotonic() + 120
    while text not in log.read_text():
        assert time.monotonic() < end, f"nothing in the log says `{text}`:\n{log.read_text()}"
        time.sleep(0.1)
