"""The peer's relay: takes outbox rows in batches of 500, enqueues a task for each with a confirm, deletes them."""

import os
import time

import psycopg
from tasks import app, send_sms

TAKE = """
SELECT id, body FROM outbox WHERE available_at <= now()
ORDER BY available_at, id LIMIT 500 FOR UPDATE SKIP LOCKED"""

with psycopg.connect(os.environ["DATABASE_URL"]) as connection, app.producer_or_acquire() as producer:
    while True:
        with connection.transaction():
            rows = connection.execute(TAKE).fetchall()
            for _, body in rows:
                send_sms.apply_async((bytes(body).decode(),), producer=producer)
            connection.execute("DELETE FROM outbox WHERE id = ANY(%s)", ([row[0] for row in rows],))
        if not rows:
            time.sleep(0.05)
