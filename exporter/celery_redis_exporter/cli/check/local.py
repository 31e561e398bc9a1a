# SPDX-License-Identifier: Apache-2.0
"""Check what needs no server: settings, the listening address of the metrics, its certificate.

Input: settings. Output: findings. Listens on the address for a moment and answers no request.
"""

import errno
from collections.abc import Iterator
from pathlib import Path

from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.certificate import InvalidCertificateError, valid_until
from celery_redis_exporter.cli.check.finding import Finding
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import Settings
from celery_redis_exporter.web.listeners import bind, unix_path

DAY = 86_400.0
SOON = 30 * DAY


def local_findings(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Yield the findings about this machine."""
    yield rows.SETTINGS_READ.found("settings", "parsed")
    for note in settings.notes:
        yield rows.SETTINGS_NOTED.found("settings", note)
    yield _port_finding(settings)
    yield from _certificate_findings(settings, clock)


def _port_finding(settings: Settings) -> Finding:
    address = settings.web.listen_address
    path = unix_path(address)
    if settings.web.systemd_socket:
        return rows.WEB_FREE.found("web", "systemd hands its sockets over at the start")
    try:
        bind(address).close()
    except ConfigError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
            show = f"ss -lxp src {path}" if path else f"ss -ltnp 'sport = :{address.rpartition(':')[2]}'"
            return rows.WEB_TAKEN.found("web", f"{address} is in use", show)
        return rows.WEB_DENIED.found("web", str(error), "--web.listen-address=:9808")
    if path:
        Path(path).unlink(missing_ok=True)
    return rows.WEB_FREE.found("web", f"{address} can be listened on")


def _certificate_findings(settings: Settings, clock: Clock) -> Iterator[Finding]:
    tls = settings.web_config.tls
    if tls is None:
        return
    name = tls.cert_file or f"{tls.file}, tls_server_config.cert"
    show = f"openssl x509 -noout -dates -in {tls.cert_file or tls.file}"
    try:
        left = valid_until(tls) - clock.now()
    except InvalidCertificateError as error:
        yield rows.CERTIFICATE_INVALID.found("web", f"{name}: {error}", show)
        return
    if left >= SOON:
        yield rows.CERTIFICATE_VALID.found("web", f"{name} is valid for {left / DAY:.0f} days")
    elif left > 0:
        yield rows.CERTIFICATE_ENDS.found("web", f"{name} ends in {left / DAY:.0f} days", show)
    else:
        yield rows.CERTIFICATE_INVALID.found("web", f"{name} has ended", show)
