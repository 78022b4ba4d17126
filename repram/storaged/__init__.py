"""The node: holds sealed bytes under leases and forgets them on time."""
