"""The cloud plugin of examples/cloud, in three languages, and what a host lends it."""

from __future__ import annotations

import sys

from cloud.v1.cloud_connect import ProgressService
from cloud.v1.cloud_pb2 import ReportRequest, ReportResponse

from plugmux.connect import Context

from .tools import ROOT, go_build, ts_program

__all__ = ["Progress", "cloud_command"]


class Progress(ProgressService):
    """Keeps what it is told of."""

    def __init__(self) -> None:
        self.reports: list[int] = []

    async def report(self, request: ReportRequest, context: Context) -> ReportResponse:
        self.reports.append(request.percent)
        return ReportResponse()


def cloud_command(language: str) -> list[str]:
    """The plugin of a language, built."""
    if language == "python":
        return [sys.executable, str(ROOT / "examples/cloud/python-cloud")]
    if language == "go":
        return [go_build(".", "./examples/cloud", "go-cloud")]
    return [ts_program("ts-cloud", "ts", "examples/cloud")]
