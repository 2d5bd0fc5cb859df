"""Wrong passwords: what they cost, and whom."""

from __future__ import annotations

from search.monitoring.tries import FREE, LONGEST, Tries


def test_each_wrong_password_doubles_the_wait_of_its_address_alone() -> None:
    now = 1000.0
    tries = Tries(lambda: now)
    waits = []
    for _ in range(FREE + 8):
        tries.wrong("10.0.0.1")
        waits.append(tries.wait("10.0.0.1", ""))
        now += waits[-1]
    assert waits == [0.0] * FREE + [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST, LONGEST]
    assert tries.wait("10.0.0.2", "") == 0.0
    tries.right("10.0.0.1", "")
    tries.wrong("10.0.0.1")
    assert tries.wait("10.0.0.1", "") == 0.0


def test_a_known_visitor_does_not_wait_for_what_another_does_at_the_same_address() -> None:
    tries = Tries(lambda: 1000.0)
    visitor = tries.right("127.0.0.1", "")
    assert tries.right("127.0.0.1", visitor) == ""
    for _ in range(FREE + 1):
        tries.wrong("127.0.0.1")
    assert tries.wait("127.0.0.1", "made-up") == 1.0
    assert tries.wait("127.0.0.1", visitor) == 0.0


def test_what_is_long_ago_is_forgotten_and_a_network_counts_as_one() -> None:
    now = 1000.0
    tries = Tries(lambda: now)
    for host in range(FREE + 1):
        tries.wrong(f"2001:db8::{host}")
    assert tries.wait("2001:db8::ffff", "") == 1.0
    assert tries.wait("2001:db8:1::1", "") == 0.0
    now += 2000.0
    tries.wrong("2001:db8::1")
    assert tries.wait("2001:db8::1", "") == 0.0
