"""A real Prometheus scrapes a real server; its promtool judges alert rules and dashboard by the figures of one."""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Server, free_port, wait_for
from tests.integration.test_metrics import fetch, samples

Serve = Callable[..., Server]
DASHBOARDS = Path(__file__).parents[2] / "docs" / "dashboards"
PROMETHEUS = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="needs prometheus and promtool (Debian's prometheus)",
)


@PROMETHEUS
def test_a_real_prometheus_scrapes_what_clients_were_answered(serve: Serve, tmp_path: Path) -> None:
    """It takes OpenMetrics, finds every sample whole, and has the counts and a quantile of them."""
    port, web = free_port(), free_port()
    server = serve(workers=1, metrics_port=port)
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 100ms, scrape_timeout: 100ms}\n"
        f"scrape_configs: [{{job_name: fastworker, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    with server.connect() as host:
        for _ in range(7):
            assert host.invoke("echo", {"job": 1}).status == 200
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{web}",
            ],
            stdout=log,
            stderr=log,
        )
    try:

        def value(query: str) -> float | None:
            url = f"http://127.0.0.1:{web}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
            try:
                with urllib.request.urlopen(url, timeout=20) as response:
                    result = json.load(response)["data"]["result"]
            except OSError:
                return None
            return float(result[0]["value"][1]) if result else None

        wait_for(lambda: value('fastworker_invocations_total{function="echo",outcome="ok"}') == 7, "the counts", 30)
        assert value('up{job="fastworker"}') == 1
        assert value("scrape_samples_scraped") == value("scrape_samples_post_metric_relabeling")
        assert value('fastworker_invocation_duration_seconds_count{function="echo"}') == 7
        assert 0 < (value("histogram_quantile(0.9, fastworker_invocation_duration_seconds_bucket) > 0") or 0) < 60
        assert value("count(fastworker_build_info)") == 1
    finally:
        process.kill()
        process.wait()


@PROMETHEUS
def test_alerts_fire_on_a_run_that_deserves_them_and_on_no_other(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty looks at a server that serves well, then thirty while it fails and crashes, by the minute."""
    monkeypatch.setenv("CHAOS_RUNS", str(tmp_path / "runs"))
    port = free_port()
    server = serve(workers=1, metrics_port=port)
    looks: list[dict[str, float]] = []
    with server.connect() as host:
        for turn in range(60):
            assert host.invoke("record", "x").status == 200
            if turn >= 30:
                assert host.invoke("fail", "x").status == 500
            if turn in (35, 50):
                assert host.invoke("segfault").status == 500
                wait_for(lambda: ready(port), "a successor")
            looks.append(flat(port))
    names = sorted({name for look in looks for name in look})
    series = [{"series": name, "values": " ".join(str(look.get(name, "_")) for look in looks)} for name in names]
    rules = tmp_path / "rules_test.yml"
    tests = [
        {
            "interval": "1m",
            "input_series": series,
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname, function, cause) (ALERTS{alertstate="firing"})',
                    "eval_time": f"{minute}m",
                    "exp_samples": [{"labels": labels, "value": 1} for labels in expected],
                }
                for minute, expected in (
                    (28, []),
                    (
                        58,
                        [
                            '{alertname="FastworkerErrors", function="fail"}',
                            '{alertname="FastworkerCrashes", cause="crashed"}',
                        ],
                    ),
                )
            ],
        }
    ]
    rules.write_text(json.dumps({"rule_files": [str(DASHBOARDS / "alerts.yml")], "tests": tests}))
    judged = subprocess.run(["promtool", "test", "rules", rules], capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def ready(port: int) -> bool:
    return samples(port)["fastworker_workers"][(("state", "ready"),)] == 1


def flat(port: int) -> dict[str, float]:
    """The samples that the alerts ask for, by their series. A line of the page is one, as promtool reads it."""
    alerts = (DASHBOARDS / "alerts.yml").read_text()
    lines = (line.rpartition(" ") for line in fetch(port)[2].splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in lines if series.partition("{")[0] in alerts}


def expressions() -> list[str]:
    """All queries of the dashboard, with its variables filled in."""
    panels = json.loads((DASHBOARDS / "grafana.json").read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    return [re.sub(r"\$(job|instance|function)", ".*", each.replace("$__rate_interval", "1m")) for each in found]


@PROMETHEUS
def test_queries_of_the_dashboard_are_promql(tmp_path: Path) -> None:
    """As promtool parses them."""
    rules = [{"record": f"panel:{index}", "expr": each} for index, each in enumerate(expressions())]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    judged = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_dashboard_and_alerts_ask_only_for_what_is_on_the_page(serve: Serve) -> None:
    """A metric that is renamed is renamed there, too; and every metric has its row in docs/metrics.md."""
    port = free_port()
    server = serve(workers=1, metrics_port=port)
    with server.connect() as host:
        assert host.invoke("echo", {"job": 1}).status == 200
    there = set(samples(port))
    asked = [*expressions(), (DASHBOARDS / "alerts.yml").read_text()]
    names = {name for text in asked for name in re.findall(r"fastworker_\w+", text)}
    assert len(names) > 10
    assert names - there - {"fastworker_worker_restarts_total"} == set()
    page = (DASHBOARDS.parent / "metrics.md").read_text()
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in there if name.startswith("fastworker_")}
    assert {name for name in families if f"`{name}`" not in page} == set()


def test_the_dashboard_is_what_grafanas_schema_says() -> None:
    """Each member is known to the types that Grafana makes of its schema, and comes out again as it went in."""
    dashboards: Any = pytest.importorskip(
        "grafana_foundation_sdk.models.dashboard", reason="needs grafana-foundation-sdk"
    )
    encoder: Any = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    written = json.loads((DASHBOARDS / "grafana.json").read_text())
    read = json.loads(encoder.JSONEncoder(sort_keys=True).encode(dashboards.Dashboard.from_json(written)))
    assert lost(written, read) == []


def lost(wanted: Any, found: Any, path: str = "") -> list[str]:
    if isinstance(wanted, dict):
        return [
            line
            for key in wanted
            for line in (lost(wanted[key], found[key], f"{path}.{key}") if key in found else [f"{path}.{key}"])
        ]
    if isinstance(wanted, list):
        lines = [
            line for i, (a, b) in enumerate(zip(wanted, found, strict=False)) for line in lost(a, b, f"{path}[{i}]")
        ]
        return lines + ([] if len(wanted) == len(found) else [path])
    return [] if wanted == found else [path]
