import subprocess

from model_envelope.runtime import manifest


def test_tags_are_added_changed_and_taken_away(cli, sealed):
    assert cli("tag", sealed, "stage=canary", "team=delays").out == "stage=canary\nteam=delays\n"
    assert cli("tag", sealed, "stage=live", "team=").out == "stage=live\n"
    result = cli("tag", sealed, "stage=", "note=a=b", "--json").result
    assert result.keys() == {"path", "digest", "tags", "removed"}
    assert (result["tags"], result["removed"]) == ({"note": "a=b"}, ["stage"])


def test_metrics_are_added_and_corrected(cli, sealed):
    assert cli("metric", sealed, "auc=0.70", "rows=1000").out == "auc=0.7\nrows=1000.0\n"
    result = cli("metric", sealed, "auc=0.72", "--json").result
    assert result.keys() == {"path", "digest", "metrics", "corrected"}
    assert (result["metrics"], result["corrected"]) == ({"auc": 0.72, "rows": 1000.0}, ["auc"])


def test_the_digest_stays(cli, sealed):
    before = manifest.digest((sealed / manifest.NAME).read_bytes())
    assert cli("tag", sealed, "stage=canary", "--json").result["digest"] == before
    assert cli("metric", sealed, "auc=0.7", "--json").result["digest"] == before
    assert cli("verify", sealed).code == 0
    assert subprocess.run(["sha256sum", "--quiet", "-c", manifest.NAME], cwd=sealed, check=False).returncode == 0


def test_a_pair_without_equals_is_a_wrong_use_and_changes_nothing(cli, sealed):
    ran = cli("tag", sealed, "a=1", "stage", "=x")
    assert (ran.code, ran.out) == (2, "")
    assert "error[usage.pair]: found `stage`, `=x`, expected KEY=VALUE" in ran.err
    assert cli("metric", sealed, "auc=high", "--json").error["message"] == "found `auc=high`, expected NAME=NUMBER"
    assert not (sealed / "ledger.jsonl").exists()


def test_a_metric_that_is_no_finite_number_is_refused(cli, sealed):
    ran = cli("metric", sealed, "auc=nan")
    assert ran.code == 1
    assert "error[metric.not-a-number]" in ran.err


def test_no_envelope(cli, tmp_path):
    for verb in ("tag", "metric"):
        ran = cli(verb, tmp_path, "a=1", "--json")
        assert ran.code == 1
        assert ran.error["code"] == "envelope.incomplete"
