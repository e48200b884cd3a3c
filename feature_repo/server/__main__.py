"""``python -m feature_repo.server --state var/feast``: the feature server in the foreground."""

import argparse
import logging
import sys
from pathlib import Path

from counterpoint.errors import CounterpointError
from feature_repo.server.process import HOST, PORT, quiet, serve

logger = logging.getLogger("feature_repo.server")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit status of docs/cli.md."""
    parser = argparse.ArgumentParser(prog="python -m feature_repo.server", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path("var/feast"), help="features.state")
    parser.add_argument("--host", default=HOST, help=f"address to listen on (default {HOST})")
    parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}; 0: a free one")
    given = parser.parse_args(arguments)
    quiet()
    try:
        serve(given.state, host=given.host, port=given.port, announce=logger.info)
    except CounterpointError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
