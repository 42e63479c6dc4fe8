"""Says by its exit code whether the process in this container is ready: the image's health check.

Asks /readyz on the port in the environment variable that ends in `_HEALTH_PORT`, or the port and path it is given.
"""

import http.client
import os
import sys


def ready(port: int, path: str) -> bool:
    """Whether the page answers 200 within 3 seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """0 when it is ready."""
    if len(sys.argv) == 3:
        return 0 if ready(int(sys.argv[1]), sys.argv[2]) else 1
    ports = [port for name, port in os.environ.items() if name.endswith("_HEALTH_PORT")]
    return 0 if ports and all(ready(int(port), "/readyz") for port in ports) else 1


if __name__ == "__main__":
    sys.exit(main())
