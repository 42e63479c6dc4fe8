"""The dashboard for Grafana: a row for each stage from the event to the phone. A table says what is drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 8, 7
"""Of a panel; three fill Grafana's 24 columns."""


@dataclass(frozen=True)
class Panel:
    """One graph: its lines by legend, in Grafana's `unit`."""

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]


def _rate(title: str, metric: str, by: str, *, only: str = "", unit: str = "ops") -> Panel:
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return Panel(title, unit, ((legend, f"sum by ({by}) (rate({metric}{only}[$__rate_interval]))"),))


def _quantiles(title: str, metric: str, by: str = "") -> Panel:
    labels, legend = ("le, " + by, f"{{{{{by}}}}} ") if by else ("le", "")
    return Panel(
        title,
        "s",
        tuple(
            (
                f"{legend}p{int(share * 100)}",
                f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket[$__rate_interval])))",
            )
            for share in (0.5, 0.95)
        ),
    )


def _now(title: str, unit: str, legend: str, query: str) -> Panel:
    return Panel(title, unit, ((legend, query),))


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "What people get",
        (
            _rate("Deliveries ended", "spacehub_inbox_deliveries_ended_total", "channel, status"),
            _quantiles("From the event to the carrier", "spacehub_sms_event_to_gateway_seconds", "lane"),
            _quantiles("From the event to FCM", "spacehub_push_event_to_fcm_seconds", "lane"),
            _rate(
                "Not sent, and why", "spacehub_inbox_deliveries_ended_total", "channel, reason", only='{status!="sent"}'
            ),
            _rate("Deliveries begun", "spacehub_inbox_deliveries_begun_total", "type"),
            _rate("Without an end in time", "spacehub_inbox_deliveries_checked_total", "finding"),
        ),
    ),
    (
        "Queues and consumers",
        (
            _rate("Messages handled", "spacehub_messages_handled_total", "queue, fate"),
            _quantiles("How old messages are when they are taken", "spacehub_message_lag_seconds", "queue"),
            _quantiles("Time a batch takes", "spacehub_handling_seconds", "queue"),
            _now(
                "Messages waiting",
                "short",
                "{{queue}}",
                'max by (queue) (rabbitmq_detailed_queue_messages{queue!~".*(dead|parking)"}) > 0',
            ),
            _now(
                "Dead letters",
                "short",
                "{{queue}}",
                'max by (queue) (rabbitmq_detailed_queue_messages{queue=~".*dead"}) > 0',
            ),
            _now("Consumers", "short", "{{queue}}", "max by (queue) (spacehub_consumers)"),
            _now("Subscriptions that wait", "short", "{{queue}}", "max by (queue) (spacehub_subscription_paused)"),
        ),
    ),
    (
        "Outboxes",
        (
            _rate("Messages forwarded", "spacehub_outbox_forwarded_total", "job, lane, confirm"),
            _now(
                "Oldest row that is due", "s", "{{job}} {{lane}}", "max by (job, lane) (spacehub_outbox_oldest_seconds)"
            ),
            _now("Rows that are due", "short", "{{job}} {{lane}}", "max by (job, lane) (spacehub_outbox_due_rows)"),
            _quantiles("Time until a row is taken", "spacehub_outbox_waited_seconds", "lane"),
            _quantiles("Time a batch takes", "spacehub_forward_seconds", "lane"),
            _now("Forwarders that wait", "short", "{{job}} {{lane}}", "max by (job, lane) (spacehub_forwarder_paused)"),
        ),
    ),
    (
        "SMS",
        (
            _rate("The carrier's answers", "spacehub_sms_answers_total", "lane, answer, reason"),
            _quantiles("Time the carrier takes", "spacehub_sms_gateway_seconds", "lane"),
            _rate("Ends", "spacehub_sms_ends_total", "status, reason"),
            _now(
                "Lanes that rest",
                "short",
                "{{job}} {{what}}",
                'max by (job, what) (spacehub_resting{what=~"critical|standard"})',
            ),
            _rate("Held by the ceiling of a minute", "spacehub_sms_ceiling_reached_total", "lane"),
            _rate("Levels of budgets told", "spacehub_sms_thresholds_told_total", "level"),
            _rate("Rests begun", "spacehub_rests_total", "job, what"),
            _now("Our account is refused", "short", "refused", "max(spacehub_sms_credentials_refused)"),
        ),
    ),
    (
        "Push",
        (
            _rate("Messages to devices", "spacehub_push_messages_total", "platform, fate, reason"),
            _quantiles("Time FCM takes", "spacehub_push_fcm_seconds"),
            _now(
                "Platforms that are off",
                "short",
                "{{what}}",
                'max by (what) (spacehub_resting{what=~"ios|android|web"})',
            ),
            _now("Google refuses us", "short", "refused", "max(spacehub_push_credentials_refused)"),
            _now("Tokens of another project", "short", "suspected", "max(spacehub_push_wrong_project_suspected)"),
            _rate("Devices registered", "spacehub_devices_registered_total", "outcome"),
            _rate("Devices taken away", "spacehub_devices_removed_total", "cause"),
        ),
    ),
    (
        "Time, app and what lies beneath",
        (
            _rate("Events fired", "spacehub_scheduler_fired_total", "type"),
            _now(
                "Since the clock's last round",
                "s",
                "seconds",
                "time() - max(spacehub_scheduler_last_round_timestamp_seconds)",
            ),
            _rate("Calls of the app", "haproxy_backend_http_responses_total", "proxy, code", unit="reqps"),
            _now("Open streams", "short", "{{instance}}", "spacehub_inbox_streams_open"),
            _rate("Streams refused", "spacehub_inbox_streams_refused_total", "why"),
            _rate("Rows forgotten", "spacehub_inbox_rows_pruned_total", "table"),
            _rate("Servers found away", "spacehub_away_total", "job, server"),
            _rate("Tasks started again", "spacehub_task_restarts_total", "job, task"),
            _rate("Processor time", "process_cpu_seconds_total", "job, instance", unit="percentunit"),
            _now("Memory", "bytes", "{{job}} {{instance}}", "process_resident_memory_bytes"),
        ),
    ),
)


def queries() -> list[str]:
    """Every query, as Prometheus gets it."""
    return [query.replace("$__rate_interval", "5m") for _, row in ROWS for panel in row for _, query in panel.lines]


def document() -> dict[str, Any]:
    """The dashboard as Grafana imports it; it asks for its data source."""
    return {
        "title": "Spacehub Notify",
        "uid": "spacehub-notify",
        "tags": ["spacehub"],
        "schemaVersion": 39,
        "timezone": "Asia/Ulaanbaatar",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": list(_placed()),
    }


def _placed() -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for title, row in ROWS:
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": _place(0, top, 24, 1)}
        number, top = number + 1, top + 1
        for place, panel in enumerate(row):
            column, line = place % 3, place // 3
            yield _drawn(panel, number) | {"gridPos": _place(column * WIDTH, top + line * HEIGHT, WIDTH, HEIGHT)}
            number += 1
        top += HEIGHT * ((len(row) + 2) // 3)


def _drawn(panel: Panel, number: int) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, "expr": query, "legendFormat": legend}
            for place, (legend, query) in enumerate(panel.lines)
        ],
    }


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}
