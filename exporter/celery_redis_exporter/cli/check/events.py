"""Whether events are heard: subscribes as the exporter does, and listens for a while.

Takes a checkup, gives findings. Reads only; on Redis one subscription, and CLIENT LIST and SCAN where nobody is heard.
"""

from collections.abc import Iterator

from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.checkup import Checkup
from celery_redis_exporter.cli.check.elsewhere import elsewhere_findings
from celery_redis_exporter.cli.check.finding import Finding
from celery_redis_exporter.cli.check.heard import Heard
from celery_redis_exporter.cli.check.questions import ask_workers, question_findings
from celery_redis_exporter.cli.check.reasons import explained
from celery_redis_exporter.cli.check.workers import heard_findings
from celery_redis_exporter.errors import DecodeError, SourceError


def event_findings(checkup: Checkup) -> Iterator[Finding]:
    """Give the findings about events, and about the workers that send them."""
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
        else:
            yield explained(rows.EVENTS_BROKEN.found("events", text), place, error.reason)
        return
    seconds = f"; listening for {checkup.listen:g} s" if checkup.listen else ""
    yield rows.SUBSCRIBED.found("events", f"subscribed to {broker.subscription}{seconds}")
    heard = Heard(seconds=checkup.listen)
    try:
        _listen(checkup, heard)
    except SourceError as error:
        text = f"the subscription was lost: {error.reason}: {error}"
        yield explained(rows.EVENTS_BROKEN.found("events", text), place, error.reason)
    finally:
        broker.stream.close()
    if not checkup.listen:
        return
    asked = ask_workers(checkup, heard)
    yield from heard_findings(heard, asked.answers)
    if not checkup.stop.is_set():
        yield from elsewhere_findings(checkup, heard)
        yield from question_findings(checkup, heard, asked)


def _listen(checkup: Checkup, heard: Heard) -> None:
    stop = checkup.stop
    until = checkup.clock.monotonic() + checkup.listen
    while checkup.clock.monotonic() < until and not stop.is_set():
        for payload in checkup.broker.stream.read():
            heard.messages += 1
            try:
                for event in checkup.broker.decode(payload):
                    heard.fold(event, checkup.clock.now())
            except DecodeError:
                heard.undecodable += 1
