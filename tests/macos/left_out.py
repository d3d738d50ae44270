"""What `make macos-like` leaves out: a test, or all of a file, and why. It runs all else of its folders."""

ABSTRACT = "it listens at an abstract name, which macOS has not: that this is refused is tested in tests/contract"
MODE = "macOS cannot set the mode of a socket that has no name yet; it is set before anybody can connect"
USES = "what a plugin uses is read from /proc; on macOS it is not told"

LEFT_OUT: dict[str, str] = {
    "runtime/test_bounded_closing.py::test_a_close_that_is_cancelled_at_any_of_its_waits_is_done_to_the_end": ABSTRACT,
    "runtime/test_listening.py::test_a_socket_is_private_from_the_first_and_nothing_is_changed_afterwards": MODE,
    "runtime/test_metrics.py::test_the_states_of_plugins_are_told_from_the_first_scrape_on": USES,
    "runtime/test_sockets.py::test_an_abstract_socket_works_alike": ABSTRACT,
}
