"""The job of a CI system or a scheduler that packs: by the variables that name it, none of which holds a secret."""

from __future__ import annotations

import os
from collections.abc import Mapping

JOBS: Mapping[str, tuple[str, ...]] = {
    "GITHUB_ACTIONS": (
        *("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_WORKFLOW", "GITHUB_JOB", "GITHUB_RUN_ID"),
        *("GITHUB_RUN_NUMBER", "GITHUB_RUN_ATTEMPT", "GITHUB_REF", "GITHUB_SHA"),
    ),
    "GITLAB_CI": (
        *("CI_PROJECT_URL", "CI_PROJECT_PATH", "CI_PIPELINE_ID", "CI_JOB_ID", "CI_JOB_NAME", "CI_COMMIT_REF_NAME"),
        "CI_COMMIT_SHA",
    ),
    "JENKINS_URL": ("JENKINS_URL", "JOB_NAME", "BUILD_NUMBER", "BUILD_URL", "GIT_BRANCH", "GIT_COMMIT"),
    "BUILDKITE": (
        *("BUILDKITE_PIPELINE_SLUG", "BUILDKITE_BUILD_NUMBER", "BUILDKITE_BUILD_URL", "BUILDKITE_JOB_ID"),
        *("BUILDKITE_BRANCH", "BUILDKITE_COMMIT"),
    ),
    "CIRCLECI": (
        *("CIRCLE_PROJECT_USERNAME", "CIRCLE_PROJECT_REPONAME", "CIRCLE_WORKFLOW_ID", "CIRCLE_JOB"),
        *("CIRCLE_BUILD_NUM", "CIRCLE_BUILD_URL", "CIRCLE_BRANCH", "CIRCLE_SHA1"),
    ),
    "TF_BUILD": (  # Azure Pipelines
        *("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "BUILD_DEFINITIONNAME", "BUILD_BUILDID", "BUILD_BUILDNUMBER"),
        *("SYSTEM_JOBID", "BUILD_REPOSITORY_NAME", "BUILD_SOURCEBRANCH", "BUILD_SOURCEVERSION"),
    ),
    "TRAVIS": (
        *("TRAVIS_REPO_SLUG", "TRAVIS_BUILD_ID", "TRAVIS_JOB_ID", "TRAVIS_JOB_NUMBER", "TRAVIS_JOB_WEB_URL"),
        *("TRAVIS_BRANCH", "TRAVIS_COMMIT"),
    ),
    "BITBUCKET_BUILD_NUMBER": (
        *("BITBUCKET_REPO_FULL_NAME", "BITBUCKET_BUILD_NUMBER", "BITBUCKET_PIPELINE_UUID", "BITBUCKET_STEP_UUID"),
        *("BITBUCKET_BRANCH", "BITBUCKET_COMMIT"),
    ),
    "TEAMCITY_VERSION": ("TEAMCITY_PROJECT_NAME", "TEAMCITY_BUILDCONF_NAME", "BUILD_NUMBER", "BUILD_VCS_NUMBER"),
    "DRONE": (
        *("DRONE_REPO", "DRONE_BUILD_NUMBER", "DRONE_BUILD_LINK", "DRONE_STAGE_NAME", "DRONE_STEP_NAME"),
        *("DRONE_BRANCH", "DRONE_COMMIT_SHA"),
    ),
    "CI_PIPELINE_NUMBER": (  # Woodpecker
        *("CI_REPO", "CI_PIPELINE_NUMBER", "CI_PIPELINE_URL", "CI_WORKFLOW_NAME", "CI_STEP_NAME", "CI_COMMIT_BRANCH"),
        "CI_COMMIT_SHA",
    ),
    "CODEBUILD_BUILD_ID": (
        *("CODEBUILD_BUILD_ID", "CODEBUILD_BUILD_ARN", "CODEBUILD_BUILD_NUMBER", "CODEBUILD_INITIATOR"),
        *("CODEBUILD_SOURCE_REPO_URL", "CODEBUILD_RESOLVED_SOURCE_VERSION"),
    ),
    "BUILDER_OUTPUT": (
        "PROJECT_ID",
        "BUILD_ID",
        "TRIGGER_NAME",
        "REPO_NAME",
        "BRANCH_NAME",
        "COMMIT_SHA",
    ),  # Cloud Build
    "AIRFLOW_CTX_DAG_ID": (
        *("AIRFLOW_CTX_DAG_ID", "AIRFLOW_CTX_TASK_ID", "AIRFLOW_CTX_DAG_RUN_ID", "AIRFLOW_CTX_EXECUTION_DATE"),
        "AIRFLOW_CTX_TRY_NUMBER",
    ),
    "DATABRICKS_RUNTIME_VERSION": ("DATABRICKS_RUNTIME_VERSION", "DB_CLUSTER_ID"),
    "TRAINING_JOB_NAME": ("TRAINING_JOB_NAME", "TRAINING_JOB_ARN"),  # SageMaker
    "CLOUD_ML_JOB_ID": ("CLOUD_ML_PROJECT_ID", "CLOUD_ML_JOB_ID"),  # Vertex AI
    "AZUREML_RUN_ID": ("AZUREML_RUN_ID", "AZUREML_EXPERIMENT_ID", "AZUREML_ARM_PROJECT_NAME"),
    "KFP_POD_NAME": ("KFP_POD_NAME", "KFP_POD_UID", "KFP_RUN_ID"),  # Kubeflow Pipelines
    "ARGO_NODE_ID": ("ARGO_NODE_ID", "ARGO_CONTAINER_NAME"),
    "SLURM_JOB_ID": ("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_JOB_NAME"),
    "MLFLOW_RUN_ID": ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"),
}
"""By the variable that tells a system: the variables that name its job."""


def job_identity(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the variables that name the job; of several systems, one inside another, those of each. Empty outside."""
    variables = os.environ if environ is None else environ
    named = dict.fromkeys(name for system, names in JOBS.items() if variables.get(system) for name in names)
    return {name: variables[name] for name in named if variables.get(name)}
