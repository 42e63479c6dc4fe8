"""The one FCM message a push is, for every platform alike: what is shown, what replaces it, how long it may wait."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from firebase_admin import messaging
from spacehub.events.requests import PushRequested

from push_sender.device import Device

LONGEST_LIFE = timedelta(days=28)
"""FCM refuses a longer one. https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-lifespan"""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message ready for the wire but for the addressee; encoded once, however many devices it goes to."""

    content: str = field(repr=False)

    def to(self, device: Device) -> bytes:
        """The body of the call that sends it to `device`."""
        return f'{{"message":{{"{device.kind}":{json.dumps(device.token)},{self.content[1:]}}}'.encode()


@dataclass(frozen=True, slots=True)
class Send:
    """One letter to one device, on account of the request that `traceparent` tells."""

    letter: Letter
    device: Device
    traceparent: str | None = None


def letter_of(push: PushRequested, *, now: datetime) -> Letter:
    """What `push` puts on the wire at `now`."""
    message = message_of(push, now=now)
    message.token = "-"  # noqa: S105 - the encoder wants an addressee; `Letter.to` puts the real one
    content = json.loads(str(message))
    del content["token"]
    return Letter(json.dumps(content, ensure_ascii=False, separators=(",", ":")))


def message_of(push: PushRequested, *, now: datetime) -> messaging.Message:
    """`push` as the library's message, without an addressee.

    Repeats replace each other on the device by the notification's id. No `collapse_key`: FCM keeps only four of them
    for a device that is offline and would lose the rest.
    """
    replaces = str(push.notification_id)
    life = min(max(push.expires_at - now, timedelta()), LONGEST_LIFE)
    seconds = int(life.total_seconds())
    return messaging.Message(
        notification=messaging.Notification(title=push.title, body=push.body),
        data=_data(push),
        android=messaging.AndroidConfig(
            priority="high" if push.critical else "normal",
            ttl=timedelta(seconds=seconds),
            notification=messaging.AndroidNotification(sound="default", tag=replaces),
        ),
        apns=messaging.APNSConfig(
            headers={
                "apns-priority": "10" if push.critical else "5",
                "apns-expiration": str(int(now.timestamp()) + seconds),
                "apns-collapse-id": replaces,
            },
            payload=messaging.APNSPayload(messaging.Aps(sound="default")),
        ),
        webpush=messaging.WebpushConfig(
            headers={"TTL": str(seconds), "Urgency": "high" if push.critical else "normal"},
            notification=messaging.WebpushNotification(tag=replaces),
            fcm_options=_web_options(push.link),
        ),
    )


def _data(push: PushRequested) -> dict[str, str]:
    data = {"notification_id": str(push.notification_id), "type": push.about}
    return data if push.link is None else {**data, "link": push.link}


def _web_options(link: str | None) -> messaging.WebpushFCMOptions | None:
    """A browser opens https links by itself; for `spacehub://…` FCM would refuse the whole message."""
    if link is None or not link.startswith("https://"):
        return None
    return messaging.WebpushFCMOptions(link=link)
