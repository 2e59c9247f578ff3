"""One board behind a real sshd for all tests of this folder that do not harm it."""

import pytest
from fakes.sshd import LoopbackBoard

from autokd_edge.devices.address import ssh_address
from autokd_edge.devices.connection import SshConnection
from autokd_edge.devices.ssh import SshLink


def link_to(board, **options):
    return SshLink(SshConnection(ssh_address(board.device), client=board.ssh), **options)


@pytest.fixture(scope="session")
def loopback(tmp_path_factory):
    with LoopbackBoard(tmp_path_factory.mktemp("board")) as board:
        yield board


@pytest.fixture(scope="session")
def link(loopback):
    link = link_to(loopback)
    yield link
    link.close()


@pytest.fixture
def own_board(tmp_path):
    """A board for one test, to do harm to."""
    with LoopbackBoard(tmp_path / "board") as board:
        yield board


@pytest.fixture
def to_own(own_board):
    """Makes links to it."""
    links = []

    def make(**options):
        links.append(link_to(own_board, **options))
        return links[-1]

    yield make
    for link in links:
        link.close()
