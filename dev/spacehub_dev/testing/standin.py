"""A process as the launcher sees one: answers /readyz on a port, drains on SIGTERM; or dies at once, or never stops.

`python standin.py PORT [dies | stubborn]`
"""

import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Pages(BaseHTTPRequestHandler):
    """Every page answers 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def main(port: int, manner: str) -> None:
    """Serve until SIGTERM."""
    if manner == "dies":
        sys.exit("no such queue: letters")
    if manner == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    HTTPServer(("127.0.0.1", port), Pages).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), *(sys.argv[2:] or [""]))
