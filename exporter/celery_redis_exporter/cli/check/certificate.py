"""The certificate that the exporter serves: until when it is valid.

Takes a certificate file and its key, gives an epoch time or a reason. Shakes hands with itself in memory, since the
standard library reads a certificate for nobody but a client who verified it. Opens no socket.
"""

import ssl
from contextlib import suppress


class InvalidCertificateError(Exception):
    """Clients refuse the certificate; the text says why."""


def valid_until(cert_file: str, key_file: str) -> float:
    """Give the end of the certificate (epoch seconds); raise InvalidCertificateError, OSError for a file."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(cert_file, key_file)
    client.check_hostname = False
    client.load_verify_locations(cert_file)
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
