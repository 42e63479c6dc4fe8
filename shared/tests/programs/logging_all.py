"""Logs every kind of line there is, for a test that reads them."""

import logging
import sys

import structlog
from spacehub.errors import Away
from spacehub.events.facts import OtpRequested
from spacehub.telemetry import configure_logs

SECRET = sys.argv[1]
log = structlog.get_logger("ours")


def fail() -> None:
    try:
        raise KeyError(SECRET)
    except KeyError as fault:
        raise RuntimeError(f"about {SECRET}") from fault


def main() -> None:
    configure_logs("test consume")
    log.info("plain", count=3, name="Зайсан")
    log.debug("too_fine")
    logging.getLogger("library").warning("plain %s", "words")
    logging.getLogger("aiormq").info("chatter")
    try:
        fail()
    except RuntimeError:
        log.exception("failed", id="e-1")
    try:
        OtpRequested.model_validate({"phone": 1, "code": SECRET})
    except ValueError as fault:
        logging.getLogger("library").error("invalid", exc_info=fault)
    try:
        raise Away("postgresql: away") from ValueError(SECRET)
    except Away as away:
        log.error("paused", exc_info=away)


main()
