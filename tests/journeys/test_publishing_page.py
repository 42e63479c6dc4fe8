"""Whoever follows docs/publishing.md is heard: the programs of the page reach a phone."""

import re
from pathlib import Path

import pytest
from spacehub.testing.waiting import eventually
from spacehub_dev.testing.npm import npm_is_here

from tests.journeys.outsider import Outsider
from tests.page_programs import PROGRAMS, run


@pytest.mark.parametrize("language", ["python", "js"])
async def test_the_first_event_of_a_newcomer_reaches_a_phone(language: str, outsider: Outsider, tmp_path: Path) -> None:
    if language == "js" and not npm_is_here():
        pytest.skip("there is no node or npm")
    text = next(text for written_in, text in PROGRAMS if written_in == language)
    [body] = re.findall(r'"?body"?: "([^"]+)"', text)

    code, _ = await run(language, text, url=outsider.endpoints["amqp_url"], directory=tmp_path)

    assert code == 0
    await eventually(lambda: _received(outsider, body))


async def _received(outsider: Outsider, body: str) -> bool:
    return body in await outsider.texts_to("97699112233")
