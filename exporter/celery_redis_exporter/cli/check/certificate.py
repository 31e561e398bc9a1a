# SPDX-License-Identifier: Apache-2.0
"""Determine how long the exporter's own certificate is valid.

Input: a certificate and its key. Output: an epoch time or a reason. The handshake is done in memory, because the
standard library returns a parsed certificate only to a client that verified it. No socket is opened.
"""

import ssl
from contextlib import suppress

from celery_redis_exporter.records.web_config import TlsConfig
from celery_redis_exporter.web.tls import as_file


class InvalidCertificateError(Exception):
    """Clients refuse the certificate. The message is the reason."""


def valid_until(config: TlsConfig) -> float:
    """Return the end of the certificate's validity (epoch seconds).

    Raises InvalidCertificateError if clients would refuse it, OSError if a file can't be read.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    with as_file(config.cert_file, config.cert) as certificate, as_file(config.key_file, config.key) as key:
        server.load_cert_chain(certificate, key)
        client.load_verify_locations(certificate)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file may lack the authority that signed it
    one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
    inner = client.wrap_bio(one, other)
    outer = server.wrap_bio(other, one, server_side=True)
    try:
        for _ in range(4):  # each side sends at most twice
            for side in (inner, outer):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        raise InvalidCertificateError(error.verify_message) from None
    found = inner.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(found["notAfter"])))
