"""The wire, against real servers on loopback and in namespaces."""
