"""The experiments of `make faults`, in the order of the page."""

from tests.faults import carrier_faults, faults, rotating, server_faults
from tests.faults.clocks import CLOCKS
from tests.faults.cluster_faults import CLUSTER
from tests.faults.experiment import IN_DOUBT, QUICK_CHECK, Experiment
from tests.faults.load import Load
from tests.faults.world import Setting

PROCESSES = (
    "inbox-api consume",
    "inbox-api consume critical",
    "inbox-api forward",
    "sms-sender consume",
    "sms-sender consume critical",
    "sms-sender forward",
    "push-sender consume",
    "devices-api serve",
    "devices-api consume",
    "scheduler consume",
    "scheduler fire",
    "scheduler forward",
    "topology keep",
)

KILLS = [
    Experiment(
        f"kill {name}",
        f"kill -9 of `{name}`",
        faults.killed(name),
        load=Load(seed=seed),
        allowed=IN_DOUBT if name.startswith("sms-sender consume") else frozenset(),
    )
    for seed, name in enumerate(PROCESSES, start=10)
]

KILLS += [
    Experiment(
        "kill in mid-call",
        "kill -9 of both senders of SMS while the gateway has texts and has not answered",
        faults.killed_in_mid_call("sms-sender consume", "sms-sender consume critical", latency_ms=1500),
        load=Load(seed=28),
        allowed=IN_DOUBT,
        short=True,
    ),
    Experiment(
        "kill in mid-batch",
        "kill -9 of `inbox-api consume` while its transaction is open",
        faults.killed_in_mid_batch("inbox-api consume", 0.4),
        load=Load(seed=29),
        short=True,
    ),
]

RESTARTS = [
    Experiment(
        "rolling restarts", "SIGTERM for every process in turn", faults.rolling_restarts, Load(300, 600, 30, seed=31)
    ),
    Experiment(
        "three forwarders",
        "three forwarders of inbox-api, one killed every 5 s",
        faults.three_forwarders(kills=6, every=5),
        Load(300, 900, 40, seed=32),
    ),
    Experiment("poison", "100 messages that nobody can read", faults.poison(100), Load(seed=33), dead=150),
    Experiment("redrive twice", "two redrives at once, one killed half-way", faults.redriven_twice(100), Load(seed=34)),
]

SERVERS = [
    Experiment(
        "kill broker",
        "kill -9 of RabbitMQ in mid-publish",
        server_faults.broker_killed,
        Load(seed=41),
        allowed=IN_DOUBT,
        short=True,
    ),
    Experiment(
        "freeze broker",
        "SIGSTOP of RabbitMQ for 30 s",
        server_faults.broker_suspended(30),
        Load(seed=42),
        allowed=IN_DOUBT,
    ),
    Experiment("memory alarm", "RabbitMQ's memory alarm", server_faults.memory_alarm, Load(200, 400, 20, seed=43)),
    Experiment("disk alarm", "RabbitMQ's disk alarm", server_faults.disk_alarm, Load(200, 400, 20, seed=44)),
    Experiment(
        "binding deleted",
        "the binding of `sms.critical` is deleted",
        server_faults.binding_deleted("spacehub.deliveries", "sms-sender.critical", "sms.critical"),
        Load(seed=45),
    ),
    Experiment(
        "event binding deleted",
        "the binding of `otp.requested` is deleted",
        server_faults.binding_deleted("spacehub.events", "inbox-api.critical", "otp.requested"),
        Load(seed=46),
    ),
    Experiment(
        "kill database",
        "kill -9 of PostgreSQL",
        server_faults.database_killed,
        Load(seed=47),
        allowed=IN_DOUBT,
        short=True,
    ),
    Experiment(
        "slow database", "every answer of PostgreSQL 500 ms late", server_faults.database_slow(0.5, 15), Load(seed=48)
    ),
    Experiment(
        "unheard commits",
        "the connection is cut when PostgreSQL says COMMIT",
        server_faults.commits_unheard(10, 10),
        Load(150, 300, 40, seed=49),
        allowed=IN_DOUBT,
    ),
]

CARRIER = [
    Experiment(
        "consumer timeout",
        "RabbitMQ's consumer timeout is shorter than the gateway's answer",
        server_faults.consumer_timeout(3000, 6000, 20),
        Load(450, 1050, 20, seed=83),
        allowed=IN_DOUBT,
    ),
    Experiment("gateway 500", "the gateway answers 500", carrier_faults.gateway("500", 10), Load(seed=61)),
    Experiment(
        "gateway 503",
        "the gateway answers 503, Retry-After 3",
        carrier_faults.gateway("503", 10, retry_after=3),
        Load(seed=62),
    ),
    Experiment(
        "gateway 429",
        "the gateway answers 429, Retry-After 5",
        carrier_faults.gateway("429", 10, retry_after=5),
        Load(seed=63),
    ),
    Experiment("gateway 401", "the gateway refuses our password", carrier_faults.gateway("401", 10), Load(seed=64)),
    Experiment(
        "gateway hangs",
        "the gateway takes connections and says nothing",
        carrier_faults.gateway("hang", 20),
        Load(seed=65),
        allowed=IN_DOUBT,
    ),
    Experiment(
        "gateway down",
        "nothing listens at the gateway's address for two minutes",
        carrier_faults.gateway_down(120),
        Load(seed=66),
        patience=240,
    ),
    Experiment(
        "gateway garbage",
        "the gateway takes the text and answers rubbish",
        carrier_faults.gateway("garbage", 5),
        Load(seed=67),
        allowed=IN_DOUBT,
    ),
    Experiment(
        "gateway resets",
        "the gateway takes the text, then resets the connection",
        carrier_faults.gateway("accept_then_reset", 5),
        Load(seed=68),
        allowed=IN_DOUBT,
        short=True,
    ),
]

SETTINGS = [
    Experiment(
        "secrets changed",
        "the passwords of broker and database and the secret between services are changed, all connections cut",
        rotating.secrets_changed,
        Load(300, 600, 20, seed=85),
        setting=Setting(retold=rotating.mounted),
    ),
    Experiment(
        "tasks sabotaged",
        "every long task of every process ends in a way nobody foresaw",
        faults.tasks_sabotaged,
        Load(200, 400, 20, seed=84),
        allowed=IN_DOUBT,
        setting=Setting(sabotaged=True),
    ),
    Experiment(
        "queue deleted",
        "`sms-sender.standard` is deleted under its consumer",
        server_faults.queue_deleted("sms-sender.standard", without="sms-sender consume"),
        Load(seed=81),
        setting=QUICK_CHECK,
    ),
    Experiment(
        "outcomes deleted",
        "`inbox-api.outcomes` is deleted under its consumer",
        server_faults.queue_deleted("inbox-api.outcomes", without="inbox-api consume"),
        Load(seed=82),
        dead=None,
        setting=QUICK_CHECK,
    ),
]

EXPERIMENTS = [*KILLS, *SERVERS, *RESTARTS, *CARRIER, *SETTINGS, *CLUSTER, *CLOCKS]
"""All of them, in the order of the page, which is also that in which each setting's are run."""

BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
