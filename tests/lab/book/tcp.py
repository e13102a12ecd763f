"""Connections that are dropped or reset by address, by the network and by the site itself."""

from __future__ import annotations

from tests.lab.book.verdicts import FACEBOOK, NO_CONTROL, NOT_FROM_HERE, blocked
from tests.lab.scenario import AddressFilter, Scenario

TCP = (
    Scenario(
        name="syn-dropped",
        about="The border router drops packets to the site's address.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="drop"),),
        expect=blocked("tcp.timeout", "address", "network"),
        without_control=NO_CONTROL,
        seen="tcp timeout",
        alike="site-drops-syn",
    ),
    Scenario(
        name="connection-alone-dropped",
        about="The connection alone is measured, and the border router drops packets to the site's address.",
        nettest="tcp",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="drop"),),
        expect=blocked("tcp.timeout", "address", "network"),
        without_control=NO_CONTROL,
        seen="tcp timeout",
        alike="connection-alone",
    ),
    Scenario(
        name="syn-reset",
        about="The border router resets connections to the site's address.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="reset"),),
        expect=blocked("tcp.reset", "address", "network"),
        without_control=NO_CONTROL,
        seen="tcp reset",
        alike="site-resets-syn",
    ),
    Scenario(
        name="site-drops-syn",
        about="The site's own firewall drops packets from the client's network.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="drop", by="srv"),),
        expect=NOT_FROM_HERE,
        without_control=NO_CONTROL,
        seen="tcp timeout",
    ),
    Scenario(
        name="site-resets-syn",
        about="The site's own firewall resets connections from the client's network.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="reset", by="srv"),),
        expect=NOT_FROM_HERE,
        without_control=NO_CONTROL,
        seen="tcp reset",
    ),
    Scenario(
        name="site-edge-drops-syn",
        about="The border router of the site's own network drops them, before it would answer a trace.",
        mechanisms=(AddressFilter(addresses=FACEBOOK, action="drop", by="edge"),),
        expect=NOT_FROM_HERE,
        without_control=NO_CONTROL,
        seen="tcp timeout",
    ),
)
