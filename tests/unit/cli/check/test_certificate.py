# SPDX-License-Identifier: Apache-2.0
"""The end of a certificate's validity."""

import subprocess
from pathlib import Path

import pytest

from celery_redis_exporter.cli.check.certificate import InvalidCertificateError, valid_until
from celery_redis_exporter.cli.check.local import DAY, local_findings
from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.records.web_config import TlsConfig
from celery_redis_exporter.settings import load
from tests.support.certificates import Authority
from tests.support.fakes import FakeClock


def test_the_end_is_that_of_the_served_certificate(tmp_path: Path) -> None:
    """A certificate made now for 30 days by an authority that is not in its file ends in 30 days."""
    pair = Authority(tmp_path, "authority").issue("exporter")
    left = valid_until(TlsConfig("web.yml", str(pair.certificate), str(pair.key))) - SystemClock().now()
    assert 29.9 < left / DAY <= 30


def test_one_that_is_for_other_purposes_is_refused(tmp_path: Path) -> None:
    """A certificate that clients would reject raises an error with the reason."""
    pair = Authority(tmp_path, "authority").issue("exporter")
    new = ("openssl", "req", "-x509", "-key", pair.key, "-out", pair.certificate, "-subj", "/CN=x")
    subprocess.run([*new, "-addext", "extendedKeyUsage=clientAuth"], check=True)
    with pytest.raises(InvalidCertificateError, match="purpose"):
        valid_until(TlsConfig("web.yml", str(pair.certificate), str(pair.key)))


@pytest.mark.parametrize(("days", "code"), [(-40, "valid"), (10, "ends"), (31, "invalid")])
def test_the_time_that_is_left_decides(tmp_path: Path, days: int, code: str) -> None:
    """A certificate that ends in more than 30 days is valid, a sooner end is a warning, and a past end a failure."""
    pair = Authority(tmp_path, "authority").issue("exporter")
    file = tmp_path / "web.yml"
    text = f"tls_server_config: {{cert_file: {pair.certificate}, key_file: {pair.key}}}\n"
    file.write_text(text, encoding="utf-8")
    settings = load(["--web.config.file", str(file), "--web.listen-address", "192.0.2.1:9808"], {})
    clock = FakeClock()
    clock.epoch = SystemClock().now() + days * DAY
    codes = [finding.code for finding in local_findings(settings, clock)]
    assert ["settings-read", "web-port-denied", f"web-certificate-{code}"] == codes
