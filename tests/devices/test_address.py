"""Addresses of devices."""

import pytest

from autokd_edge.devices.address import ssh_address
from autokd_edge.errors import InputError


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("ssh://pi@192.168.1.20", ("-l", "pi", "--", "192.168.1.20")),
        ("ssh://pi@board.local:2222", ("-p", "2222", "-l", "pi", "--", "board.local")),
        ("ssh://Jetson", ("--", "Jetson")),
        ("ssh://root@[fe80::1%eth0]:22", ("-p", "22", "-l", "root", "--", "fe80::1%eth0")),
    ],
)
def test_an_address_becomes_arguments_of_the_client_and_is_said_as_it_was_typed(text, login):
    address = ssh_address(text)
    assert address.login == login
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "pi@board", "board", "http://board", "ssh:board", "ssh://", "ssh://@board", "ssh://pi@", "ssh://board/path", "ssh://board?x"),
        *("ssh://board:0", "ssh://board:99999", "ssh://board:x", "ssh://-oProxyCommand=id", "ssh://-x@board", "ssh://a b", "ssh://$(id)"),
        *("ssh://board#x", "ssh://pi;id@board", "ssh://[::1", "ssh://board\n"),
    ],
)
def test_what_is_no_address_is_refused_with_what_was_typed(text):
    with pytest.raises(InputError, match="a device must be ssh://user@host") as caught:
        ssh_address(text)
    assert text.strip() in str(caught.value)
    assert caught.value.hint == "--device ssh://pi@192.168.1.20"


def test_a_password_is_refused_and_not_repeated():
    with pytest.raises(InputError, match=r"a password has no place in it\. Hint: ssh-copy-id board") as caught:
        ssh_address("ssh://pi:secret@board")
    assert "secret" not in str(caught.value)
