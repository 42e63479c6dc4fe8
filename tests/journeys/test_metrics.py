"""The metrics that are written about are those that the running processes have."""

import httpx
from prometheus_client.parser import text_string_to_metric_families
from spacehub_dev.documents.metrics import metrics
from spacehub_dev.launcher.system import System


async def test_the_pages_of_the_processes_hold_every_metric_that_is_written_about_and_no_other(system: System) -> None:
    found: set[str] = set()

    async with httpx.AsyncClient() as client:
        for spec in system.plan.processes:
            if spec.port is not None and spec.ready_path == "/readyz":
                page = (await client.get(f"http://127.0.0.1:{spec.port}/metrics")).text
                for family in text_string_to_metric_families(page):
                    found.add(f"{family.name}_total" if family.type == "counter" else family.name)

    ours = {name for name in found if name.startswith("spacehub_") and not name.endswith("_created")}
    assert ours == {metric.name for metric in metrics()}
    assert {
        "haproxy_backend_http_responses_total",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    } <= found
