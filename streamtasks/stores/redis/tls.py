"""TLS options of connections: whether they fit together, can be used, and verify certificates."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import redis

from ...exceptions import ConfigurationError

__all__ = ["check_tls", "file_problem", "is_tls", "unverified"]

_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_LASTING: Final = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_REQUIREMENTS: Final = ("none", "optional", "required")


def check_tls(options: Mapping[str, Any], where: str) -> None:
    """Check TLS options as they are given; files are not looked at, which may come later than the settings.

    Args:
        options: redis-py connection keyword arguments.
        where: the setting that they stand in, for errors.

    Raises:
        ConfigurationError: they contradict each other, or a value is not one of those that there are.
    """
    if not is_tls(options):
        given = sorted(name for name in options if name.startswith("ssl_"))
        if given:
            raise ConfigurationError(
                f"{where}: {', '.join(given)} without TLS; write rediss:// in url, or 'ssl': True in {where}."
            )
        return
    requirement = options.get("ssl_cert_reqs", "required")
    if isinstance(requirement, str) and requirement not in _REQUIREMENTS:
        raise ConfigurationError(
            f"{where}: ssl_cert_reqs is {requirement!r}; leave it out, then certificates are verified, or turn that "
            "off with 'none'."
        )
    if options.get("ssl_keyfile") and not options.get("ssl_certfile"):
        raise ConfigurationError(f"{where}: ssl_keyfile is given without ssl_certfile; give the certificate, too.")


def file_problem(options: Mapping[str, Any], where: str) -> str:
    """Return what is wrong with the files that TLS options name, and the remedy; ``""`` if nothing is."""
    if not is_tls(options):
        return ""
    for name in _FILES:
        if options.get(name) and (reason := _unreadable(options[name])):
            return f"{where}: {name} {options[name]!r} cannot be read: {reason}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority, certificate, key = map(options.get, _FILES)
    if authority:
        try:
            context.load_verify_locations(cafile=authority)
        except ssl.SSLError as error:
            return f"{where}: ssl_ca_certs {authority!r} holds no certificates in PEM form ({error.reason})"
        except OSError:
            return ""  # no descriptor is left, for example: that passes
    if certificate:
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, password=options.get("ssl_password") or "")
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or "ssl_password is missing or wrong"
            files = f"ssl_certfile {certificate!r}" + (f" and ssl_keyfile {key!r}" if key else "")
            return f"{where}: {files} must be a certificate and its key in PEM form ({reason})"
        except OSError:
            return ""
    return ""


def unverified(options: Mapping[str, Any]) -> str:
    """Return what is not verified although TLS is used, ``""`` if everything is."""
    if not is_tls(options):
        return ""
    requirement = options.get("ssl_cert_reqs", "required")
    if requirement not in ("required", ssl.CERT_REQUIRED):
        shown = requirement.name if isinstance(requirement, ssl.VerifyMode) else requirement
        return f"ssl_cert_reqs is {shown!r}: the certificate is not verified"
    if not options.get("ssl_check_hostname", True):
        return "ssl_check_hostname is False: a certificate for any name is accepted"
    return ""


def _unreadable(path: Any) -> str:
    """Return why a file cannot be read, ``""`` if it can."""
    try:
        with Path(path).open("rb"):
            return ""
    except _LASTING as error:
        return error.strerror or str(error)
    except OSError:
        return ""
    except TypeError:
        return "it is no path"


def is_tls(options: Mapping[str, Any]) -> bool:
    """Whether connections with these options use TLS."""
    kind = options.get("connection_class")
    return isinstance(kind, type) and issubclass(kind, redis.SSLConnection)
