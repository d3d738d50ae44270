"""A plugin with a configuration and two protocol versions; its twins are go/configured and ts/src/configured.ts.

Get gives `GREETING, region REGION, protocol VERSION`. A change to the greeting "forbidden" is refused. With the
argument `fixed` the plugin takes no change while it runs.
"""

import sys
from dataclasses import dataclass

from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse

from plugmux.connect import Context
from plugmux.plugin import Configured, Plugin, Traits


@dataclass
class Settings:
    region: str
    greeting: str = "hello"


def refuse(settings: Settings) -> None:
    if settings.greeting == "forbidden":
        raise ValueError("no such greeting")


class Store(KeyValueService):
    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        now = settings.value
        text = f"{now.greeting}, region {now.region}, protocol {plugin.protocol_version}"
        return GetResponse(value=text.encode())


settings = Configured(Settings, on_change=None if "fixed" in sys.argv else refuse)
plugin = Plugin(
    Store(),
    version="v1.2.0",
    configuration=settings,
    traits=Traits(protocol_versions=[1, 2], capabilities=["greeting"], labels={"team": "a"}),
)
plugin.run()
