"""When the caches of installers must not be kept."""

import pytest

from model_envelope.assembling import network


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("pip_conf", "[global]\nindex-url = https://me:word@host/simple\n", True),
        ("pip_conf", "[global]\nextra-index-url = https://a/simple\n\thttps://token@b/simple\n", True),
        ("pip_conf", "[global]\nindex-url = https://host/a@b/simple\n", False),
        ("uv_toml", '[[index]]\nurl = "https://me:wo%40rd@host/simple"\n', True),
        ("uv_toml", '[[index]]\nurl = "https://host/simple"\n', False),
        ("proxy", "HTTPS_PROXY=http://me:word@proxy:3128\n", True),
        ("proxy", "NO_PROXY=x\nHTTPS_PROXY=me:word@proxy:3128\n", True),
        ("proxy", "HTTPS_PROXY=http://proxy:3128\n", False),
        ("netrc", "machine host login me password word\n", True),
        ("netrc", "", False),
    ],
)
def test_passwords_are_noticed(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    assert network.has_credentials(tmp_path) is expected


def test_without_secrets_there_are_none(tmp_path):
    assert not network.has_credentials(tmp_path)
