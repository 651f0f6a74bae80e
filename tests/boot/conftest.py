# SPDX-License-Identifier: Apache-2.0
"""What holds for every booted test."""
import pytest
from booted import check_all


@pytest.fixture(autouse=True)
def nodes_are_well():
    """A test fails when a node that it shares has failed; nothing waits for a node that is known to be dead."""
    check_all()
    yield
    check_all()
