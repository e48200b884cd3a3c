"""The parameters of the served models (config.pbtxt), from the configuration."""

import json
from pathlib import Path

from counterpoint.config.serve import DeployConfig
from counterpoint.errors import ConfigError
from serving.engine.rule_set import RuleBook
from serving.spec import InvalidInput


def options(config: DeployConfig, version: str) -> dict[str, str]:
    """Return the parameters of the served models.

    Raises:
        ConfigError: ``deploy.rules`` is wrong.
    """
    try:
        RuleBook(config.rules)
    except InvalidInput as error:
        raise ConfigError([f"deploy.{error}"]) from error
    return {
        "version": version,
        "rules": json.dumps(config.rules, ensure_ascii=False),
        "feature_server": config.feature_server or "",
        "feature_service": config.feature_service,
        "feature_timeout": str(config.feature_timeout),
        "live_items": _absolute(config.live_items),
        "live_items_server": config.live_items_server or "",
        **operations(config),
    }


def operations(config: DeployConfig) -> dict[str, str]:
    """Return the parameters of the served models that are about running them."""
    return {
        "max_request_bytes": str(config.max_request_bytes),
        "instances": str(config.instances),
        "max_queued_requests": _text(config.max_queued_requests),
        "queue_timeout": _text(config.queue_timeout),
        "priorities": "true" if config.priorities else "false",
        "response_cache": "true" if config.cache_mb else "false",
        "log_requests": config.log_requests,
        "log_key_file": _absolute(config.log_key_file),
        "impressions": _absolute(config.impressions),
        "impressions_mb": str(config.impressions_mb),
    }


def _text(value: float | None) -> str:
    return "" if value is None else str(value)


def _absolute(path: str | None) -> str:
    """The models run in Triton's working directory, which need not stay this one."""
    return str(Path(path).absolute()) if path else ""
