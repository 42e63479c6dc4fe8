"""Which floor each room of a service stands on; a new module must be placed here before the floors hold."""

APP, EDGE, DEED, OUTSIDE, THING, SETTINGS = "app", "edge", "deed", "outside", "thing", "settings"

MAY_IMPORT = {
    APP: {EDGE, DEED, OUTSIDE, THING, SETTINGS},
    EDGE: {DEED, THING},
    DEED: {DEED, THING},
    OUTSIDE: {OUTSIDE, THING},
    THING: {THING},
    SETTINGS: {THING},
}
"""What a floor may import of its own service, besides its own room; circles are not allowed anywhere."""

SHARED_FOR = {
    DEED: {"errors", "events", "outbox", "quiet_hours", "privacy", "running", "telemetry"},
    THING: {"errors", "events", "quiet_hours", "privacy"},
}
"""What deeds and things may import of `spacehub`; the other floors may import all of it."""

ROOMS: dict[str, dict[str, str]] = {
    "inbox_api": {
        "app": APP,
        "settings": SETTINGS,
        "consumers": EDGE,
        "notifying": DEED,
        "planning": DEED,
        "settling": DEED,
        "notifying_store": OUTSIDE,
        "settling_store": OUTSIDE,
        "closings": THING,
        "contacts": THING,
        "deliveries": THING,
        "drafts": THING,
        "ends": THING,
        "expiry": THING,
        "notices": THING,
        "plans": THING,
        "tables": THING,
        "testing": APP,
        "texts": THING,
    },
    "sms_sender": {
        "app": APP,
        "settings": SETTINGS,
        "consumers": EDGE,
        "sending": DEED,
        "gateway": OUTSIDE,
        "ledger": OUTSIDE,
        "testing": OUTSIDE,
        "account": THING,
        "attempts": THING,
        "fates": THING,
        "gathering": THING,
        "marks": THING,
        "outcomes": THING,
        "phone": THING,
        "replies": THING,
        "segments": THING,
        "statements": THING,
        "tables": THING,
    },
    "push_sender": {},
    "devices_api": {},
    "scheduler": {
        "app": APP,
        "settings": SETTINGS,
        "clock": EDGE,
        "consumers": EDGE,
        "arming": DEED,
        "firing": DEED,
        "forgetting": DEED,
        "listing": DEED,
        "database_clock": OUTSIDE,
        "timetable": OUTSIDE,
        "testing": OUTSIDE,
        "due_times": THING,
        "slots": THING,
        "tables": THING,
        "timers": THING,
    },
}
