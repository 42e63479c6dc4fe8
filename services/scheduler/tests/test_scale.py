"""Timers that are not due cost nothing: what is due is found through an index that knows only armed ones."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import asyncpg
from scheduler.testing import Stage
from scheduler.timetable import CLAIM_DUE, HOLD, NEXT_DUE, SAVE

MANY = """
INSERT INTO timers (subject, purpose, state, as_of, due_at, deadline, user_id, data)
SELECT 'bill:' || number, 'bill.overdue', CASE WHEN armed THEN 'armed' ELSE 'fired' END, '2026-01-01',
       CASE WHEN armed THEN timestamptz '2027-01-01' + number * interval '1 second' END,
       CASE WHEN armed THEN date '2026-12-31' END,
       CASE WHEN armed THEN '00000000-0000-0000-0000-000000000001'::uuid END,
       CASE WHEN armed THEN '{}'::jsonb END
FROM (SELECT number, number % 2 = 0 AS armed FROM generate_series(1, 400000) AS number) AS numbered"""


async def test_two_hundred_thousand_armed_timers_are_not_looked_at_before_they_are_due(
    stage: Stage, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    await pool.execute(MANY)
    await pool.execute("VACUUM ANALYZE timers")
    before_any = stage.clock.moment

    for statement, arguments in ((CLAIM_DUE, (before_any, 50)), (NEXT_DUE, ())):
        plan = await explained(pool, statement, *arguments)
        assert {node["Index Name"] for node in plan if "Index Name" in node} == {"timers_due"}
        assert not any("Seq Scan" in node["Node Type"] for node in plan)
        assert plan[0]["Shared Hit Blocks"] + plan[0]["Shared Read Blocks"] < 10


async def test_claiming_a_few_of_a_huge_backlog_reads_those_few(
    stage: Stage, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    await pool.execute(MANY)
    await pool.execute("VACUUM ANALYZE timers")

    plan = await explained(pool, CLAIM_DUE, stage.clock.moment + timedelta(days=365), 50)

    assert {node["Index Name"] for node in plan if "Index Name" in node} == {"timers_due"}
    assert max(node["Actual Rows"] for node in plan) <= 50


async def test_learning_a_batch_among_many_timers_reads_only_theirs(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    await pool.execute(MANY)
    await pool.execute("VACUUM ANALYZE timers")
    subjects = [f"bill:{number}" for number in range(1, 200_000, 1000)]
    rows = [{"subject": subject, "purpose": "bill.overdue", "state": "closed", "told": []} for subject in subjects]

    holding = await explained(pool, HOLD, subjects, ["bill.overdue"] * len(subjects))
    saving = await explained(pool, SAVE, rows)

    for plan in (holding, saving):
        assert not any("Seq Scan" in node["Node Type"] for node in plan)
        assert max(node["Actual Rows"] for node in plan) <= len(subjects)


async def explained(pool: "asyncpg.Pool[asyncpg.Record]", statement: str, *arguments: object) -> list[dict[str, Any]]:
    """The nodes of the plan that PostgreSQL really ran, from the top."""
    answer = await pool.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *arguments)
    return list(nodes(json.loads(answer)[0]["Plan"]))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)
