"""Scores a table with the model scorer, on a schedule.

Rendered by `envelope render --target airflow`; envelope DIGEST.
The job ends with 0 where all is written, 1 or 2 where somebody has to mend its input or settings, 4 where a database or
a file system was out of reach; its last line is a summary as JSON. Tried again, it goes on where it ended.
"""

from datetime import timedelta

import pendulum
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG
from kubernetes.client import models as k8s

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
    KubernetesPodOperator(
        task_id="score",
        name="scorer-batch",
        namespace="models",
        image=IMAGE,
        arguments=ARGUMENTS,
        get_logs=True,
        on_finish_action="delete_pod",
        termination_grace_period=60,
        service_account_name="scorer",
        env_from=[k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name="warehouse"))],
        container_resources=k8s.V1ResourceRequirements(
            requests={"cpu": "0.5", "memory": "2Gi"},
            limits={"cpu": "0.5", "memory": "2Gi"},
        ),
        security_context=k8s.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=10001,
            run_as_group=0,
            fs_group=10001,
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        container_security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
        ),
        volumes=[
            k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource()),
            k8s.V1Volume(
                name="data",
                persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="flights-data"),
            ),
        ],
        volume_mounts=[
            k8s.V1VolumeMount(name="tmp", mount_path="/tmp"),
            k8s.V1VolumeMount(name="data", mount_path="/data"),
        ],
    )
