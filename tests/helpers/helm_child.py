"""Runs real Helm for the tests: a program for the Python of .venv-helm, which alone has helm-sdkpy.

Reads one JSON object a line from stdin, {"action": "install", "upgrade", "uninstall", "test" or "lint", ...},
and writes one a line: {"result": ...} or {"error": "..."}. Releases live in memory, as long as this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import helm_sdkpy

SECONDS = 60


class Helm:
    """Helm for one API server.

    Args:
        kubeconfig: path of a file.
    """

    def __init__(self, kubeconfig: str) -> None:
        self._kubeconfig = kubeconfig
        self._configurations: dict[str, helm_sdkpy.Configuration] = {}

    def run(self, order: dict[str, Any]) -> Any:
        """Carry out one order."""
        if order["action"] == "lint":
            return asyncio.run(helm_sdkpy.Lint(self._configuration("default")).run(order["chart"]))
        return asyncio.run(self._of_release(order))

    async def _of_release(self, order: dict[str, Any]) -> Any:
        configuration = self._configuration(order["namespace"])
        if order["action"] == "uninstall":
            return await helm_sdkpy.Uninstall(configuration).run(order["release"], wait=False)
        if order["action"] == "test":
            return await helm_sdkpy.ReleaseTest(configuration).run(order["release"])
        action = {"install": helm_sdkpy.Install, "upgrade": helm_sdkpy.Upgrade}[order["action"]](
            configuration
        )
        return await action.run(
            order["release"],
            order["chart"],
            values=order["values"],
            wait=False,
            timeout=SECONDS,
            server_side_apply=True,
        )

    def _configuration(self, namespace: str) -> helm_sdkpy.Configuration:
        if namespace not in self._configurations:
            self._configurations[namespace] = helm_sdkpy.Configuration(
                namespace=namespace, kubeconfig=self._kubeconfig
            )
        return self._configurations[namespace]


def main() -> None:
    """Serve orders until stdin ends."""
    # Go prints warnings to stdout: answers go to the real one, the rest to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    helm = Helm(sys.argv[1])
    for line in sys.stdin:
        try:
            answer = {"result": helm.run(json.loads(line))}
        except helm_sdkpy.HelmError as error:
            answer = {"error": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    assert Path(sys.argv[1]).is_file()
    main()
