import sys

import rpyc
from rpyc.utils.server import OneShotServer


class Store(rpyc.Service):
    values = {}

    def exposed_put(self, key, value):
        self.values[key] = value

    def exposed_get(self, key):
        return self.values[key]


OneShotServer(Store, socket_path=sys.argv[1]).start()
