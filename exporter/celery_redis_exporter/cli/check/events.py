# SPDX-License-Identifier: Apache-2.0
"""Check whether events are received: subscribe as the exporter does, and read events for a while.

Input: a checkup. Output: findings. Reads only: on Redis one subscription, CLIENT LIST, and SCAN if no worker sends
events.
"""

from collections.abc import Iterator

from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.checkup import Checkup
from celery_redis_exporter.cli.check.elsewhere import elsewhere_findings
from celery_redis_exporter.cli.check.finding import Finding
from celery_redis_exporter.cli.check.observations import Observations
from celery_redis_exporter.cli.check.questions import ask_workers, question_findings
from celery_redis_exporter.cli.check.reasons import explained
from celery_redis_exporter.cli.check.workers import observation_findings
from celery_redis_exporter.errors import DecodeError, SourceError


def event_findings(checkup: Checkup) -> Iterator[Finding]:
    """Yield the findings about events, and about the workers that send them."""
    broker = checkup.broker
    place = checkup.place("broker")
    try:
        broker.stream.open()
    except SourceError as error:
        text = f"no subscription to {broker.subscription}: {error.reason}: {error}"
        if error.reason == "noperm":
            rights = broker.rights.partition("<user> ")[2]
            line = place.grant(rights) or broker.rights.replace("<user>", place.user)
            yield rows.EVENTS_DENIED.found("events", text, line)
        elif error.reason in checkup.stated:  # The cause and what fixes it were reported for the server.
            text = f"no subscription to {broker.subscription}, for the same reason: {error.reason}"
            yield rows.EVENTS_BROKEN.found("events", text)._replace(cause="")
        else:
            yield explained(rows.EVENTS_BROKEN.found("events", text), place, error.reason)
        return
    seconds = f"; listening for {checkup.listen:g} s" if checkup.listen else ""
    yield rows.SUBSCRIBED.found("events", f"subscribed to {broker.subscription}{seconds}")
    observed = Observations(seconds=checkup.listen)
    try:
        _listen(checkup, observed)
    except SourceError as error:
        text = f"the subscription was lost: {error.reason}: {error}"
        yield explained(rows.EVENTS_BROKEN.found("events", text), place, error.reason)
    finally:
        checkup.progress("")
        broker.stream.close()
    if not checkup.listen:
        return
    asked = ask_workers(checkup, observed)
    yield from observation_findings(observed, asked.answers)
    if not checkup.stop.is_set():
        yield from elsewhere_findings(checkup, observed)
        yield from question_findings(checkup, observed, asked)


def _listen(checkup: Checkup, observed: Observations) -> None:
    """Observe events for ``checkup.listen`` seconds, or until the check is stopped. Raises SourceError."""
    until = checkup.clock.monotonic() + checkup.listen
    while (left := until - checkup.clock.monotonic()) > 0 and not checkup.stop.is_set():
        checkup.progress(f"listening to events for {left:.0f} s more; {observed.messages} messages so far")
        for payload in checkup.broker.stream.read():
            observed.messages += 1
            try:
                for event in checkup.broker.decode(payload):
                    observed.fold(event, checkup.clock.now())
            except DecodeError:
                observed.undecodable += 1
