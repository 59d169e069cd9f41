import pytest

from model_envelope.foundation.secrets import credentials, scrub, scrub_all, secret_values

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://bob:hunter2@host/simple", "https://****@host/simple"),
        ("https://tok3n@host/simple", "https://****@host/simple"),
        ("https://bob:p@ss@host/simple", "https://****@host/simple"),
        ("https://bob:pa/ss@host/simple", "https://****@host/simple"),
        ("x @ git+https://bob:pw@host/repo.git@0a1b2c", "x @ git+https://****@host/repo.git@0a1b2c"),
        ("git+ssh://bob:pw@host/repo", "git+ssh://****@host/repo"),
        ("https://a:b@one/x, https://c:d@two/y", "https://****@one/x, https://****@two/y"),
        ("https://host/x?token=abc&version=2", "https://host/x?token=****&version=2"),
        ("https://host/x?unheard-of=abc#egg=x", "https://host/x?unheard-of=****#egg=x"),
        ("https://host/x#access_token=abc&subdirectory=y", "https://host/x#access_token=****&subdirectory=y"),
        (
            "https://s3/x?X-Amz-Signature=0f&X-Amz-Credential=AK",
            "https://s3/x?X-Amz-Signature=****&X-Amz-Credential=****",
        ),
        ("https://blob/x?sv=2020&sig=abc%3D", "https://blob/x?sv=****&sig=****"),
        ("https://host/t/tk-12-ab/channel/linux-64/a.conda", "https://host/t/****/channel/linux-64/a.conda"),
        ("https://dl.cloudsmith.io/AbCdEf/org/repo/", "https://dl.cloudsmith.io/****/org/repo/"),
        ("https://pypi.fury.io/AbCdEfGhIjKlMnOp/me/", "https://pypi.fury.io/****/me/"),
        ("token ghp_0123456789abcdefghijABCDEFGHIJ012345 used", "token **** used"),
        ("glpat-abcdefghij0123456789", "****"),
        ("AKIAIOSFODNN7EXAMPLE", "****"),
        (f"Bearer {JWT}", "Bearer ****"),
        ("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb", "a\n****\nb"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut off", "****"),
        ('key = "-----BEGIN PRIVATE KEY-----"\nrest()', 'key = "****"\nrest()'),
        ("+-----BEGIN EC PRIVATE KEY-----\n+MHc\n+-----END EC PRIVATE KEY-----\n+x()", "+****\n+x()"),
    ],
)
def test_credentials_are_taken_out(text, shown):
    assert scrub(text) == shown
    assert scrub(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://pypi.org/simple/six/",
        "six @ git+https://github.com/benjaminp/six.git@65486e4383f9f411da95937451205d3c7b61b9e1",
        "six @ https://host:8443/six-1.0.tar.gz#sha256=0123456789abcdef&subdirectory=lib",
        "git@github.com:me/repo.git",
        "ssh://git@github.com/me/repo.git",
        "-e git+ssh://git@github.com/me/repo.git@0a1b#egg=x",
        "https://dev.azure.com/org/project/_build/results?buildId=17",
        "https://repo.example.com/t",
        "/home/t/work/project",
        "someone@example.com wrote https://example.com/a",
        "file:///srv/wheels/six-1.0-py3-none-any.whl",
        "scikit-learn==1.9.1",
        "https://conda.anaconda.org/conda-forge/linux-64/a-1-b_0.conda#0123456789abcdef0123456789abcdef",
    ],
)
def test_what_is_no_secret_stays(text):
    assert scrub(text) == text


def test_known_values_are_taken_out_wherever_they_stand():
    assert scrub("xs3cr3t-valuey", {"s3cr3t-value"}) == "x****y"
    assert scrub("longer-secret and longer", {"longer", "longer-secret"}) == "**** and ****"
    document = {"a s3cr3t-value": ["s3cr3t-value", {"n": 1, "t": ("s3cr3t-value", None)}]}
    assert scrub_all(document, {"s3cr3t-value"}) == {"a ****": ["****", {"n": 1, "t": ["****", None]}]}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "DB_PASSWORD",
            "PGPASSWORD",
            "SSHPASS",
            "MYSQL_PWD",
            "HF_TOKEN",
        ),
        *("OPENAI_API_KEY", "AZURE_STORAGE_CONNECTION_STRING", "GH_PAT", "SENTRY_DSN", "CI_JOB_TOKEN", "npm_token"),
        *("TWINE_PASSWORD", "GOOGLE_CREDENTIALS", "SLACK_SIGNING_SECRET", "DOCKER_AUTH_CONFIG", "APIKEY_OF_X"),
    ],
)
def test_variables_with_such_names_are_secret(name):
    if name == "APIKEY_OF_X":
        assert secret_values({name: "plain-value-1"}) == {"plain-value-1"}
    assert secret_values({name: "plain-value-1"}) == {"plain-value-1"}


def test_variables_that_only_name_a_secret_or_hold_none_are_not(tmp_path):
    (tmp_path / "key.json").write_text("{}")
    variables = {
        "PATH": "/usr/bin:/bin",
        "PWD": "/home/me/project",
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json"),
        "TOKENIZERS_PARALLELISM": "false-or-true",
        "MAX_TOKENS": "100000000",
        "DEBUG_TOKEN": "true",
        "SHORT_SECRET": "~x",
        "HTTP_PROXY": "http://proxy.example.com:3128",
    }
    assert secret_values(variables) == set()


def test_credentials_in_the_url_of_any_variable_are_secret():
    variables = {
        "PIP_EXTRA_INDEX_URL": "https://a/simple https://tok3n-abc@b/simple",
        "REDIS": "redis://:p%40ssword@host/0",
    }
    assert secret_values(variables) == {"tok3n-abc", "p%40ssword", "p@ssword"}
    assert credentials("https://bob:hunter22@host") == {"hunter22"}
    assert credentials("https://host/a@b") == set()
