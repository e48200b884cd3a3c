import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from counterpoint import config as configuration
from counterpoint.config import MonitorConfig
from counterpoint.errors import ConfigError
from counterpoint.monitoring import alerts

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)


@contextmanager
def receiver(statuses: list[int], *, hold: threading.Event | None = None) -> Iterator[Any]:
    """A real server that answers with the statuses in turn and keeps what it got."""
    got: list[Any] = []
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Content-Type"], json.loads(body)))
            if hold is not None:
                hold.wait(10)
            self.send_response(left.pop(0) if left else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", got
    finally:
        if hold is not None:
            hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "BACKOFF_S", 0.001)


def content(config: MonitorConfig, verdict: str = "retrain") -> Any:
    return alerts.payload(
        config, verdict, ["items: changed", "quality: fell"], labels={"dataset": "ml"}, now=NOW
    )


def test_alertmanager_reads_a_list_of_alerts() -> None:
    config = MonitorConfig()
    with receiver([200]) as (url, got):
        sent = alerts.send(
            config.model_copy(update={"webhook": f"{url}/api/v2/alerts"}), content(config)
        )
    assert sent == alerts.Delivery(True, "127.0.0.1: status 200", 1)
    [(path, kind, [alert])] = got
    assert (path, kind) == ("/api/v2/alerts", "application/json")
    assert alert["labels"] == {
        "alertname": "CounterpointDrift",
        "severity": "critical",
        "verdict": "retrain",
        "dataset": "ml",
    }
    assert alert["annotations"]["description"] == "items: changed\nquality: fell"
    assert datetime.fromisoformat(alert["startsAt"]) == NOW


def test_receivers_read_what_alertmanager_posts() -> None:
    config = MonitorConfig(webhook_format="receiver")
    found = content(config, "drift")
    assert found["version"] == "4"
    assert found["status"] == "firing"
    [alert] = found["alerts"]
    assert alert["labels"]["severity"] == "warning"
    assert found["commonLabels"] == alert["labels"]


@pytest.mark.parametrize("first", [500, 503, 429, 408])
def test_a_fault_that_may_pass_is_tried_again(first: int) -> None:
    with receiver([first, 200]) as (url, got):
        sent = alerts.send(MonitorConfig(webhook=url), content(MonitorConfig()))
    assert (sent.sent, sent.attempts, len(got)) == (True, 2, 2)


def test_a_refusal_is_final() -> None:
    with receiver([400, 200]) as (url, got):
        sent = alerts.send(MonitorConfig(webhook=url), content(MonitorConfig()))
    assert (sent.sent, sent.attempts, len(got)) == (False, 1, 1)
    assert "status 400" in sent.detail


def test_a_receiver_that_stays_broken_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with receiver([500] * 5) as (url, got):
        sent = alerts.send(MonitorConfig(webhook=url, webhook_attempts=2), content(MonitorConfig()))
    assert (sent.sent, sent.attempts, len(got)) == (False, 2, 2)
    assert "not delivered after 2 attempts" in caplog.text


def test_a_silent_receiver_is_given_up_after_the_timeout() -> None:
    with receiver([200], hold=threading.Event()) as (url, _):
        sent = alerts.send(
            MonitorConfig(webhook=url, webhook_attempts=1, webhook_timeout_s=0.1),
            content(MonitorConfig()),
        )
    assert (sent.sent, sent.detail) == (False, "127.0.0.1: ReadTimeout")


def test_nobody_listening_is_reported() -> None:
    with receiver([]) as (url, _):
        pass
    sent = alerts.send(MonitorConfig(webhook=url), content(MonitorConfig()))
    assert (sent.sent, sent.attempts, sent.detail) == (False, 3, "127.0.0.1: ConnectError")


@pytest.mark.parametrize("url", ["not a url", "ftp://127.0.0.1/x", "http://[broken", "http://"])
def test_a_wrong_address_is_refused_with_the_configuration(url: str) -> None:
    with pytest.raises(ConfigError, match=r"monitor\.webhook"):
        configuration.load(overrides=[f"monitor.webhook='{url}'"])


def test_only_the_host_of_the_address_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with receiver([500]) as (url, _):
        secret = url.replace("http://", "http://user:pa55@") + "/hook?token=s3cret"
        sent = alerts.send(
            MonitorConfig(webhook=secret, webhook_attempts=1), content(MonitorConfig())
        )
    assert "pa55" not in sent.detail + caplog.text
    assert "s3cret" not in sent.detail + caplog.text


def test_without_an_address_nothing_is_sent() -> None:
    sent = alerts.send(MonitorConfig(), content(MonitorConfig()))
    assert (sent.sent, sent.attempts) == (False, 0)
    assert "monitor.webhook" in sent.detail
