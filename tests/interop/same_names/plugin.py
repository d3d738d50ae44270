"""A plugin whose protos have the names of plugmux's own; see ../go/samenames/main.go and ../ts/src/samenames.ts."""

from health.v1.health_connect import PulseService
from health.v1.health_pb2 import GetVersionResponse
from plugins.v1.plugins_connect import CatalogService
from plugins.v1.plugins_pb2 import RUN_STATUS_ASLEEP, ListPluginsResponse, Plugin

import plugmux


class Catalog(CatalogService):
    async def list_plugins(self, request, context):
        plugin = Plugin(title=f"of {request.shop}", status=RUN_STATUS_ASLEEP)
        plugin.since.FromSeconds(7)
        return ListPluginsResponse(plugin=plugin)


class Pulse(PulseService):
    async def get_version(self, request, context):
        return GetVersionResponse(beats=len(request.patient))


plugmux.Plugin(Catalog(), Pulse(), version="v1.0.0").run()
