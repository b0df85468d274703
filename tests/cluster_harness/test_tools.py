import re

import pytest

from dev.cluster.addons import ADDONS
from dev.cluster.tools import TOOLS, Tool


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_a_tool_is_pinned_with_the_sums_of_its_sources(tool: Tool) -> None:
    assert re.fullmatch(r"v\d+\.\d+\.\d+|own", tool.version)
    if tool.pinned_by:
        assert f"{tool.pinned_by} {tool.version} h1:" in (tool.folder / "go.sum").read_text()


def test_flags_are_part_of_what_a_built_tool_is_known_by() -> None:
    plain = Tool("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3")
    flagged = Tool("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", ("x={version}",))
    assert plain.key != flagged.key


def test_add_ons_ask_for_tools_that_there_are() -> None:
    assert {tool for addon in ADDONS.values() for tool in addon.tools} <= set(TOOLS)
