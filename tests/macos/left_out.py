"""What `make macos-like` leaves out: a test, or all of a file, and why. It runs all else of its folders."""

ABSTRACT = "it listens at an abstract name, which macOS has not: that this is refused is tested in tests/contract"
MODE = "macOS cannot set the mode of a socket that has no name yet; it is set before anybody can connect"
LIMITS = "it needs limits of memory or processes, which macOS has not: that is told by tests/macos"
PIDFD = "the test itself has the system open no pidfd"
USES = "what a plugin uses is read from /proc; on macOS it is not told"

LEFT_OUT: dict[str, str] = {
    "runtime/test_bounded_closing.py::test_a_close_that_is_cancelled_at_any_of_its_waits_is_done_to_the_end": ABSTRACT,
    "runtime/test_inspect.py::test_what_a_process_uses_is_read_once_a_second": USES,
    "runtime/test_launching_docs.py": LIMITS,
    "runtime/test_leaks.py::test_a_process_that_cannot_be_watched_is_not_left_to_run": PIDFD,
    "runtime/test_limits.py::test_a_call_that_reaches_a_limit_fails_and_the_plugin_works_on"
    "[memory-ran out of memory]": LIMITS,
    "runtime/test_limits.py::test_a_counter_counts_children_that_have_left_the_group_or_lost_their_parent": LIMITS,
    "runtime/test_limits.py::test_a_plugin_that_exceeds_a_limit_is_ended_and_the_error_says_which[memory]": LIMITS,
    "runtime/test_limits.py::test_a_plugin_that_exceeds_a_limit_is_ended_and_the_error_says_which[processes]": LIMITS,
    "runtime/test_limits.py::test_a_plugin_within_its_limits_works": LIMITS,
    "runtime/test_listening.py::test_a_socket_is_private_from_the_first_and_nothing_is_changed_afterwards": MODE,
    "runtime/test_metrics.py::test_the_states_of_plugins_are_told_from_the_first_scrape_on": USES,
    "runtime/test_sockets.py::test_an_abstract_socket_works_alike": ABSTRACT,
}
