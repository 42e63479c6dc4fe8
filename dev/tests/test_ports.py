"""Private servers get ports that nobody else has and that stay free for them."""

import socket

import pytest
from spacehub_dev.provisioning.ports import STANDARD, listening, release_port, reserve_port


def test_two_reservations_never_share_a_port() -> None:
    ports = [reserve_port() for _ in range(50)]

    assert len(set(ports)) == 50
    for port in ports:
        release_port(port)


def test_ports_lie_below_those_of_outgoing_connections() -> None:
    port = reserve_port()

    assert 1024 < port < 32768
    assert port not in STANDARD
    release_port(port)


def test_a_released_port_can_be_had_again() -> None:
    port = reserve_port()
    release_port(port)

    again = reserve_port(port)

    assert again == port
    release_port(again)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_strangers_port_is_passed_over(address: str) -> None:
    port = reserve_port()
    release_port(port)
    with socket.socket() as stranger:
        stranger.bind((address, port))
        stranger.listen()

        other = reserve_port(port)

        assert other != port
        assert listening(port)
        assert not listening(other)
    release_port(other)
