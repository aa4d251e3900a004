"""TLS for DICOM (PS3.15 B.12, the modified BCP 195 profile): TLS 1.2 or newer with forward secrecy and AEAD."""

import ssl

from filmroom.dimse.config import Tls
from filmroom.errors import Invalid

_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"


def accepting(tls: Tls) -> ssl.SSLContext:
    """Return the context of the listener; with an authority it wants a client's certificate. Raises Invalid."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, tls)
    if tls.authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def calling(tls: Tls) -> ssl.SSLContext:
    """Return the context for calling others, who must show a certificate of the authority. Raises Invalid.

    Host names are not compared: a DICOM node's certificate rarely names the address that it is called at (PS3.15 B.12
    leaves it to the site). The authority should be one that signs for this network only.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, tls)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _context(protocol: int, tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.authority is not None:
            context.load_verify_locations(tls.authority)
    except (OSError, ssl.SSLError):
        raise Invalid("the TLS certificate, key or authority cannot be read", "give unencrypted PEM files") from None
    return context
