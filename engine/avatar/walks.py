"""Which walk plays a pack: through its motion graph if it has one, else by hard cuts."""

from collections import OrderedDict

from engine.avatar.cuts import CutWalk
from engine.avatar.pack import Pack
from engine.avatar.player import Walk
from engine.motion.routes import Routes
from engine.motion.walk import GraphWalk


class WalkMaker:
    """Makes walks; what all walks of a pack share is made once.

    Args:
        capacity: For how many packs it is kept.
    """

    def __init__(self, capacity: int = 32) -> None:
        self._capacity = capacity
        self._routes: OrderedDict[str, Routes] = OrderedDict()

    def make(self, pack: Pack, seed: int) -> Walk:
        """Return a new walk through a pack."""
        if pack.graph is None:
            return CutWalk(pack, seed)
        return GraphWalk(self.prepare(pack), seed)

    def prepare(self, pack: Pack) -> Routes:
        """Return the routes of a pack that has a graph; slow the first time, safe in a thread."""
        if pack.graph is None:
            raise ValueError("this pack has no graph")
        routes = self._routes.get(pack.key)
        if routes is None:
            packed = pack.graph
            routes = Routes(packed.graph, float(pack.fps), packed.spacing, packed.keyframes)
            self._routes[pack.key] = routes
            while len(self._routes) > self._capacity:
                self._routes.popitem(last=False)
        return routes
