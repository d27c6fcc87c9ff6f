"""What a real Triton shows at its metrics port is what dashboards, alerts and scalers ask for."""

from __future__ import annotations

import re
import urllib.request

import pytest

from eureka.clients.triton import TritonClient
from eureka.runtime.triton import TritonLauncher
from eureka.serving.triton_metrics import AdapterMetrics, DecoderMetrics, EncoderMetrics
from tests.helpers.exported_metrics import TRITON, FakeTriton
from tests.helpers.gateway_stack import noise, until
from tests.helpers.triton_requests import collect, prompt

pytestmark = pytest.mark.asyncio


def shown(triton: TritonLauncher) -> dict[str, set[str]]:
    """Name of each metric -> labels of its samples."""
    with urllib.request.urlopen(f"http://{triton.config.metrics_address}/metrics", timeout=5) as reply:
        lines = re.findall(r"^([a-z]\w+)(?:\{(.*)\})? \S+$", reply.read().decode(), re.MULTILINE)
    found: dict[str, set[str]] = {}
    for name, labels in lines:
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


async def test_triton_shows_what_we_ask_for(client: TritonClient, triton: TritonLauncher) -> None:
    await client.embed([noise(0.8)])
    await collect(client.generate(prompt(6, num_audio=4)))
    found = shown(triton)
    for name, labels in TRITON.items():
        assert labels <= found.get(name, set()), name


async def test_models_show_their_metrics_under_one_component(
    client: TritonClient, triton: TritonLauncher
) -> None:
    made = FakeTriton()
    EncoderMetrics(made), AdapterMetrics(made, 2), DecoderMetrics(made)
    await client.embed([noise(0.8)])
    await until(lambda: "eureka_expert_tokens_total" in shown(triton))
    found = shown(triton)
    for name, _, labels in made.made:
        assert found.get(name) == labels and "component" in labels, name


async def test_experts_share_all_assignments(client: TritonClient, triton: TritonLauncher) -> None:
    """Each token of audio is counted for each of its experts: shares are parts of a whole."""

    def assigned() -> dict[str, float]:
        with urllib.request.urlopen(f"http://{triton.config.metrics_address}/metrics", timeout=5) as reply:
            text = reply.read().decode()
        pairs = re.findall(r'^eureka_expert_tokens_total\{.*expert="(\d+)".*\} (\S+)$', text, re.MULTILINE)
        return {expert: float(value) for expert, value in pairs}

    before = assigned()
    await client.embed([noise(4.0)])
    await until(lambda: sum(assigned().values()) - sum(before.values()) == 50 * 2)
    assert len(assigned()) >= 2
