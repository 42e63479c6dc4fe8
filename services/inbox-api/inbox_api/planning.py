"""Planning: what a batch of events changes, worked out event by event in their order, without touching a database."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from spacehub.events.envelope import Event
from spacehub.events.facts import UserDeleted, UserUpdated

from inbox_api.closings import Closing, decided_by, holds, of_user
from inbox_api.contacts import UNKNOWN, Contact, updated
from inbox_api.drafts import Draft, Rules, drafts
from inbox_api.notices import Addressee, Notice, notice_of
from inbox_api.plans import Plan


def plan(
    events: Sequence[Event],
    *,
    contacts: Mapping[UUID, Contact],
    closings: Mapping[str, Closing],
    rules: Rules,
    now: datetime,
) -> Plan:
    """What `events`, none of them seen before, change, given the contacts and closings that concern them."""
    planner = _Planner(contacts, closings, rules, now)
    for event in events:
        planner.take(event)
    return planner.plan


class _Planner:
    """How things stand after the events taken so far."""

    def __init__(
        self, contacts: Mapping[UUID, Contact], closings: Mapping[str, Closing], rules: Rules, now: datetime
    ) -> None:
        self.plan = Plan()
        self._contacts = dict(contacts)
        self._closings = dict(closings)
        self._rules = rules
        self._now = now
        self._waiting: defaultdict[str, list[UUID]] = defaultdict(list)

    def take(self, event: Event) -> None:
        if isinstance(event.data, UserUpdated):
            self._update(event.data, at=event.time or self._now)
        decision = decided_by(event, now=self._now)
        if decision is not None and holds(decision, over=self._closings.get(decision.subject)):
            self._decide(decision, event)
        notice = notice_of(event.data)
        if notice is not None:
            for addressee in notice.addressees:
                for draft in self._drafts(event, notice, addressee):
                    self._add(draft)

    def _update(self, update: UserUpdated, *, at: datetime) -> None:
        if self._is_closed(of_user(update.user_id)):
            return
        contact = updated(self._contacts.get(update.user_id, UNKNOWN), update, at=at)
        self._contacts[update.user_id] = self.plan.contacts[update.user_id] = contact

    def _decide(self, decision: Closing, event: Event) -> None:
        self._closings[decision.subject] = self.plan.closings[decision.subject] = decision
        if not decision.closed:
            return
        if isinstance(event.data, UserDeleted):
            user = event.data.user_id
            self._contacts.pop(user, None)
            self.plan.contacts.pop(user, None)
            self.plan.closed_users.add(user)
            self._withdraw([number for number in self.plan.requests if self.plan.deliveries[number].user_id == user])
            self._erase(user)
        else:
            self.plan.closed_subjects.add(decision.subject)
            self._withdraw(self._waiting.pop(decision.subject, []))

    def _drafts(self, event: Event, notice: Notice, addressee: Addressee) -> Iterable[Draft]:
        user = addressee.user_id
        gone = user is not None and self._is_closed(of_user(user))
        return drafts(
            event,
            notice,
            Addressee(user, None, None) if gone else addressee,
            contact=self._contacts.get(user, UNKNOWN) if user is not None else UNKNOWN,
            closed=gone or (notice.subject is not None and self._is_closed(notice.subject)),
            rules=self._rules,
            now=self._now,
        )

    def _add(self, draft: Draft) -> None:
        number = draft.delivery.id
        self.plan.deliveries[number] = draft.delivery
        if draft.notification is not None:
            self.plan.notifications.append(draft.notification)
        if draft.request is not None:
            self.plan.requests[number] = draft.request
            if draft.delivery.subject is not None:
                self._waiting[draft.delivery.subject].append(number)

    def _withdraw(self, numbers: Iterable[UUID]) -> None:
        for number in numbers:
            if self.plan.requests.pop(number, None) is not None:
                self.plan.deliveries[number] = replace(
                    self.plan.deliveries[number], status="suppressed", reason="withdrawn", ended_at=self._now
                )

    def _erase(self, user: UUID) -> None:
        """Of the rows that this batch was to write for `user`, keep the ids alone."""
        self.plan.notifications = [one for one in self.plan.notifications if one.user_id != user]
        for number, delivery in self.plan.deliveries.items():
            if delivery.user_id == user:
                self.plan.deliveries[number] = replace(delivery, phone_hash=None, phone_last4=None)

    def _is_closed(self, subject: str) -> bool:
        closing = self._closings.get(subject)
        return closing is not None and closing.closed
