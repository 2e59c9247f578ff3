"""Asking a device program, and every way in which it can fail."""

import pytest
from fakes.link import FakeLink

from autokd_edge.devices.program import NO_DEVICE, ask, made_on_device
from autokd_edge.errors import AbsentDeviceError, BuildError, MeasureError
from autokd_edge.ports import Finished


def asked(answer):
    return ask(FakeLink(lambda _argv, _request: answer), ["program", "mode"], {}, timeout_s=5, failure=BuildError, hint="pip install it")


def test_the_request_goes_in_and_the_answer_comes_out():
    link = FakeLink(lambda argv, request: {"argv": list(argv), "request": request})
    answer = ask(link, ["program", "mode"], {"a": 1}, timeout_s=5, failure=BuildError)
    assert answer == {"argv": ["program", "mode"], "request": {"a": 1, "timeout_s": 5}}


def test_a_failure_carries_the_last_line_of_the_vendor_and_no_hint():
    with pytest.raises(BuildError, match=r"^RuntimeError: unsupported op Foo$") as caught:
        asked(Finished(status=1, stdout=b"", stderr=b"Traceback\nRuntimeError: unsupported op Foo\n\n"))
    assert not caught.value.retryable


def test_a_crash_names_the_signal():
    with pytest.raises(BuildError, match=r"crashed with SIGSEGV.*compiling"):
        asked(Finished(status=-11, stdout=b"", stderr=b"compiling\n"))


def test_a_missing_package_says_what_to_install():
    with pytest.raises(BuildError, match=r"No module named 'openvino'\. Hint: pip install it"):
        asked(Finished(status=1, stdout=b"", stderr=b"ModuleNotFoundError: No module named 'openvino'\n"))


def test_a_device_that_is_not_there_fails_a_build_by_a_class_of_its_own_and_other_stages_by_theirs():
    answer = Finished(status=NO_DEVICE, stdout=b"", stderr=b"a warning\nthis engine needs a GPU\n")
    with pytest.raises(AbsentDeviceError, match=r"^this engine needs a GPU$"):
        asked(answer)
    with pytest.raises(MeasureError, match=r"^this engine needs a GPU$"):
        ask(FakeLink(lambda _argv, _request: answer), ["program", "mode"], {}, timeout_s=5, failure=MeasureError)


def test_a_time_out_stays_retryable_and_takes_the_class_of_the_stage():
    with pytest.raises(BuildError, match="too long") as caught:
        asked(MeasureError("too long", retryable=True))
    assert caught.value.retryable


def test_an_answer_that_is_no_json_is_a_failure():
    with pytest.raises(BuildError, match="one JSON document; got b'hello'"):
        asked(Finished(status=0, stdout=b"hello", stderr=b""))


def test_a_file_made_on_the_device_is_fetched_or_nothing_is_left(tmp_path):
    link = FakeLink(lambda _argv, _request: {})
    with made_on_device(link, tmp_path / "good") as place, open(place, "wb") as stream:  # noqa: PTH123  a path on the device is text
        stream.write(b"1")
    assert (tmp_path / "good").read_bytes() == b"1"
    with pytest.raises(BuildError), made_on_device(link, tmp_path / "bad"):
        raise BuildError("no")
    assert not (tmp_path / "bad").exists()
    with pytest.raises(MeasureError, match="could not be written"), made_on_device(link, tmp_path / "no folder" / "out"):
        pass
