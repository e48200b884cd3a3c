"""Alerts to a webhook, in the JSON of Prometheus Alertmanager."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from counterpoint.config.monitor import MonitorConfig

logger = logging.getLogger(__name__)

ALERT_NAME = "CounterpointDrift"
SEVERITY = {"drift": "warning", "retrain": "critical"}

BACKOFF_S = 0.5
"""Wait before the second attempt; doubles with every further one."""


@dataclass(frozen=True)
class Delivery:
    """What became of an alert.

    Attributes:
        sent: Whether the receiver accepted it.
        detail: Host and status, or why it was not sent.
        attempts: Posts made.
    """

    sent: bool
    detail: str
    attempts: int = 0


def payload(
    config: MonitorConfig,
    verdict: str,
    reasons: Sequence[str],
    *,
    labels: dict[str, str],
    now: datetime,
) -> Any:
    """Return the JSON of one alert.

    Args:
        config: Chooses the form: Alertmanager's own API, or what it sends to receivers.
        verdict: ``drift`` or ``retrain``.
        reasons: Sentences of the decision.
        labels: Identify the alert, such as the data set; equal labels make one alert.
        now: When it fires.
    """
    alert = {
        "labels": {
            "alertname": ALERT_NAME,
            "severity": SEVERITY[verdict],
            "verdict": verdict,
            **labels,
        },
        "annotations": {
            "summary": f"Counterpoint monitoring: {verdict}",
            "description": "\n".join(reasons),
        },
        "startsAt": now.isoformat(),
    }
    if config.webhook_format == "alertmanager":
        return [alert]
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{ALERT_NAME}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "counterpoint",
        "groupLabels": {"alertname": ALERT_NAME},
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
        "externalURL": "",
        "alerts": [
            {
                **alert,
                "status": "firing",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "",
                "fingerprint": "",
            }
        ],
    }


def send(config: MonitorConfig, content: Any) -> Delivery:
    """Post an alert, trying again on faults that may pass; never raises for a failed delivery.

    A refusal (4xx other than 408 and 429) is final: the same request would be refused again.
    """
    if config.webhook is None:
        return Delivery(False, "no webhook is configured (monitor.webhook)")
    # Only the host is reported: path and query of a webhook are often its key.
    host = urlsplit(config.webhook).hostname or "?"
    detail = ""
    for attempt in range(1, config.webhook_attempts + 1):
        try:
            response = httpx.post(config.webhook, json=content, timeout=config.webhook_timeout_s)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            detail = f"{host}: {type(error).__name__}"
        else:
            detail = f"{host}: status {response.status_code}"
            if response.is_success:
                return Delivery(True, detail, attempt)
            if response.is_client_error and response.status_code not in (408, 429):
                break
        if attempt < config.webhook_attempts:
            time.sleep(BACKOFF_S * 2 ** (attempt - 1))
    logger.warning("The alert was not delivered after %d attempts (%s).", attempt, detail)
    return Delivery(False, detail, attempt)
