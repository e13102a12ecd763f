"""Which targets are one site, so that what fails together counts once: by their registrable names, nearly.

There is no list of public suffixes here, for it changes and would have to be shipped; a few words are known under which
countries register.
"""

from __future__ import annotations

_SECOND_LEVEL = frozenset(
    {"ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "mil", "ne", "net", "nic", "nom", "or", "org", "sch"}
)


def site(target: str) -> str:
    """Return the registrable name of a host or URL, nearly: what is not known to be a suffix is taken for a name.

    The error is on the safe side: sites under an unknown suffix pass for one.
    """
    host = (target.partition("://")[2] or target).partition("/")[0].lower().rstrip(".")
    if host.startswith("[") or host.count(":") > 1:
        return host  # an IPv6 address
    labels = host.partition(":")[0].split(".")
    if labels[-1].isdigit():
        return ".".join(labels)
    under = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL
    return ".".join(labels[-3:] if under else labels[-2:])
