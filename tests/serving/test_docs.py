"""The page of the documentation in a browser that has no network."""

import json

import pytest
from chromium import chromium
from serving_process import started

pytestmark = pytest.mark.slow

OPERATION = "#operations-model-call_predict"


def test_a_method_is_tried_out_and_answered_without_a_network(tmp_path, scorer):
    with started(scorer) as process, chromium(tmp_path / "profile") as page:
        url = json.loads(process.stdout.readline())["url"]
        assert page.open("http://example.com/") == "net::ERR_NAME_NOT_RESOLVED"
        page.events.clear()

        assert page.open(f"{url}/docs") == ""
        page.click(f"{OPERATION} .opblock-summary-control")
        page.click(f"{OPERATION} .try-out__btn", "Try it out")
        sample = page.wait_for(f"document.querySelector('{OPERATION} textarea.body-param__text')?.value")
        assert json.loads(sample) == json.loads((scorer / "samples" / "predict.input.json").read_bytes())
        page.click(f"{OPERATION} .execute", "Execute")
        answered = f"{OPERATION} .live-responses-table .response"
        assert page.wait_for(f"document.querySelector('{answered} .response-col_status')?.innerText") == "200"
        shown = page.evaluate(f"document.querySelector('{answered} .highlight-code code').innerText")
        assert json.loads(shown) == json.loads((scorer / "samples" / "predict.output.json").read_bytes())

        page.screenshot(tmp_path / "docs.png")
        assert (tmp_path / "docs.png").read_bytes().startswith(b"\x89PNG")
        assert {address for address in page.requested() if not address.startswith(f"{url}/")} == set()
        assert f"{url}/predict" in page.requested()
        assert page.complaints() == []
