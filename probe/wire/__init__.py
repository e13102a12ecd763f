"""The wire: measuring over real sockets. While measuring, nothing else opens one or catches an OSError."""

from probe.wire.socket_network import SocketNetwork
from probe.wire.wire import Wire

__all__ = ["SocketNetwork", "Wire"]
