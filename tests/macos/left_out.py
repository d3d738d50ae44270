"""What `make macos-like` leaves out: a test, or all of a file, and why. It runs all else of its folders."""

ABSTRACT = "it listens at an abstract name, which macOS has not: that this is refused is tested in tests/contract"
PIDFD = "the test itself watches a process by a pidfd"
LIMITS = "it needs a limit that macOS does not know: that this is refused is tested in tests/macos"

LEFT_OUT: dict[str, str] = {
    "plugin/test_program.py::test_a_vanished_runtime_ends_it_even_while_a_thread_runs": PIDFD,
    "runtime/test_bounded_closing.py::test_a_close_that_is_cancelled_at_any_of_its_waits_is_done_to_the_end": ABSTRACT,
}
