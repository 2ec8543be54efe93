"""What could reach the person who develops with the sandbox. Each test fails without its defence: ``mutations.py``."""

from __future__ import annotations

import urllib.request

import pytest

from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.api.credentials import ApiKey
from airflow_provider_connectif.sandbox import SandboxProcess
from airflow_provider_connectif.sandbox.server import NotLoopbackError, listen


@pytest.mark.slow
def test_a_value_is_text_on_the_page() -> None:
    with SandboxProcess(requests_per_minute=0) as sandbox:
        client = ConnectifClient(ApiKey.parse(None, sandbox.api_key), sandbox.url)
        client.patch_contact("a@b.example", {"_name": "<script>alert(1)</script>"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        page = opener.open(sandbox.url + "/", timeout=10).read().decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_nobody_else_can_reach_it(host: str) -> None:
    with pytest.raises(NotLoopbackError):
        listen(host, 0).close()
