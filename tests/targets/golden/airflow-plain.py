"""Scores a table with the model scorer, on a schedule.

Rendered by `envelope render --target airflow`; envelope DIGEST.
The job ends with 0 where all is written, 1 or 2 where somebody has to mend its input or settings, 4 where a database or
a file system was out of reach; its last line is a summary as JSON. Tried again, it goes on where it ended.
"""

from datetime import timedelta

import pendulum
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk import DAG

IMAGE = "scorer-batch:SHORT"
ARGUMENTS = [
    "--input",
    "/data/in.parquet",
    "--output",
    "/data/out/",
    "--mode",
    "overwrite",
    "--run-id",
    "{{ run_id }}",
]

with DAG(
    dag_id="scorer-batch",
    description="Scores a table with scorer SHORT",
    schedule="@daily",
    start_date=pendulum.parse("2025-01-01", tz="UTC"),
    catchup=False,
    max_active_runs=1,  # two jobs at once on one output would be refused
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["model-envelope"],
) as dag:
    DockerOperator(
        task_id="score",
        image=IMAGE,
        command=ARGUMENTS,
        auto_remove="force",
        mount_tmp_dir=False,
        cpus=1,
        mem_limit="2g",
    )
