"""serve: a door of the room opens for other systems. What comes through it asks for its own permission, act by act."""

from filmroom.flow import evidence
from filmroom.ports import Ports


def serve(ports: Ports, door: str) -> Ports:
    """Write down that a door opens, and return what it works with. `door` is a protocol's name. Raises Denied."""
    what = {"kind": "door", "id": door}
    permit = evidence.authorize(ports, "serve", what)
    with ports.catalog.write() as tx:
        evidence.record(tx, ports, permit, what, {"state": "opened"})
    return ports
