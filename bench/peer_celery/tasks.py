"""The peer's worker: posts each text to the carrier, acked late, from a quorum queue; no ledger."""

import json
import os

import requests
from celery import Celery
from requests.adapters import HTTPAdapter

app = Celery("peer", broker=os.environ["AMQP_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue="peer",
    task_default_queue_type="quorum",
    worker_prefetch_multiplier=int(os.environ.get("PREFETCH_MULTIPLIER", "1")),
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
)

session = requests.Session()
session.trust_env = False
session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=200))


@app.task  # type: ignore[untyped-decorator]
def send_sms(body: str) -> None:
    sms = json.loads(body)["data"]
    form = {
        "username": "peer",
        "password": "peer",
        "from": "131344",
        "to": f"976{sms['phone']}",
        "text": sms["text"],
    }
    answer = session.post(os.environ["GATEWAY_URL"], data=form, timeout=10)
    assert answer.json()["result"] == "OK"
