"""What is watched and drawn exists: rules and dashboard read metrics that are made, and each alert has its page."""

import re
from collections.abc import Iterator

import promql_parser as promql
import pytest
from spacehub_dev.documents import alerts, dashboard
from spacehub_dev.documents.metrics import ROOT, Metric, metrics

OURS = metrics()
RULES = [rule for group in alerts.groups() for rule in group["rules"]]
PAGE = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")

OF_OTHERS = {
    "rabbitmq_detailed_queue_messages",  # /metrics/detailed, family queue_coarse_metrics: RabbitMQ 3.10 and newer
    "rabbitmq_detailed_queue_consumers",  # /metrics/detailed, family queue_consumer_count: the same
    "rabbitmq_alarms_memory_used_watermark",  # /metrics: RabbitMQ 3.8 and newer
    "rabbitmq_alarms_free_disk_space_watermark",
    "haproxy_backend_http_responses_total",  # HAProxy 2.0 and newer; tests/test_gateway.py reads it
    "process_cpu_seconds_total",  # prometheus_client, on Linux
    "process_resident_memory_bytes",
    "up",
}
"""What we read that is not made here, and since when it is."""


def selectors(query: str) -> list[promql.VectorSelector]:
    """Every selector of a query."""
    return list(_selectors(promql.parse(query)))


def _selectors(part: promql.Expr) -> Iterator[promql.VectorSelector]:
    match part:
        case promql.VectorSelector():
            yield part
        case promql.MatrixSelector():
            yield part.vector_selector
        case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            yield from _selectors(part.expr)
        case promql.BinaryExpr():
            yield from _selectors(part.lhs)
            yield from _selectors(part.rhs)
        case promql.Call():
            for argument in part.args:
                yield from _selectors(argument)


def made(name: str | None) -> Metric | None:
    return next((metric for metric in OURS if name in metric.series), None)


QUERIES = [rule["expr"] for rule in RULES] + dashboard.queries()


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_reads_metrics_that_exist_by_labels_that_they_have(query: str) -> None:
    found = selectors(query)

    assert found
    for selector in found:
        metric = made(selector.name)
        assert metric is not None or selector.name in OF_OTHERS, selector.name
        if metric is not None:
            labels = {matcher.name for matcher in selector.matchers.matchers}
            assert labels <= {*metric.labels, "job", "instance"}, selector.name


@pytest.mark.parametrize("query", ["sum(rate(x[5m])", "histogram_quantile(x)", "rate(spacehub_away_total)", ""])
def test_the_parser_takes_no_query_that_is_none(query: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        promql.parse(query)


@pytest.mark.parametrize("query", QUERIES)
def test_what_a_query_groups_by_is_a_label_of_what_it_reads(query: str) -> None:
    for labels in re.findall(r"by \(([^)]*)\)", query):
        known = {label for selector in selectors(query) if (metric := made(selector.name)) for label in metric.labels}
        others = {"le", "job", "instance", "queue", "proxy", "code"}
        assert set(re.split(r",\s*", labels)) <= known | others, labels


@pytest.mark.parametrize("metric", OURS, ids=lambda metric: metric.name)
def test_metrics_are_named_as_prometheus_wants_them(metric: Metric) -> None:
    assert re.fullmatch(r"spacehub_[a-z][a-z_]*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.kind != "histogram" or metric.name.endswith("_seconds")
    assert metric.says[0].isupper() or metric.says[0].isdigit()
    assert metric.says[-1] != "."


def test_no_two_metrics_have_one_name() -> None:
    names = [metric.name for metric in OURS]

    assert sorted(set(names)) == sorted(names)


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    sections = re.findall(r"^## (\w+)$", PAGE, flags=re.MULTILINE)

    assert sorted(sections) == sorted(rule["alert"] for rule in RULES)
    assert [rule["annotations"]["runbook"] for rule in RULES] == [rule["alert"] for rule in RULES]
    assert all(rule["labels"]["severity"] in ("page", "ticket") for rule in RULES)
    for section in PAGE.split("\n## ")[1:]:
        assert ["**Means**" in section, "**Look at**" in section, "**Do**" in section] == [True] * 3, section


def test_queue_without_a_consumer_is_excused_only_by_a_process_that_says_it_rests() -> None:
    """A dead process says nothing: its series are gone, and the rule is about the queue's consumers alone again."""
    [query] = [rule["expr"] for rule in RULES if rule["alert"] == "ConsumersMissing"]

    missing, resting = query.split(" unless on (queue) ")

    assert [selector.name for selector in selectors(missing)] == ["rabbitmq_detailed_queue_consumers"]
    assert missing.endswith(" == 0")
    assert resting == "max by (queue) (spacehub_resting_in_quiet_hours) == 1"
