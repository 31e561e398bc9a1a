"""The certificate that the exporter serves: until when it is valid.

Takes a certificate and its key, gives an epoch time or a reason. Shakes hands with itself in memory, since the
standard library reads a certificate for nobody but a client who verified it. Opens no socket.
"""

import ssl
from contextlib import suppress

from celery_redis_exporter.records.web_config import TlsConfig
from celery_redis_exporter.web.tls import as_file


class InvalidCertificateError(Exception):
    """Clients refuse the certificate; the text says why."""


def valid_until(config: TlsConfig) -> float:
    """Give the end of the certificate (epoch seconds); raise InvalidCertificateError, OSError for a file."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    with as_file(config.cert_file, config.cert) as certificate, as_file(config.key_file, config.key) as key:
        server.load_cert_chain(certificate, key)
        client.load_verify_locations(certificate)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # its own authority may not be in the file
    one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
    inner = client.wrap_bio(one, other)
    outer = server.wrap_bio(other, one, server_side=True)
    try:
        for _ in range(4):  # each side speaks twice at most
            for side in (inner, outer):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        raise InvalidCertificateError(error.verify_message) from None
    found = inner.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(found["notAfter"])))
