"""The grader's side of children: what a nursery knows of each."""

import json
import os
import socket
import sys
import threading

import pytest

from course.grading.children import Nursery, Trouble


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork: nothing to test there.")
def test_a_child_with_the_process_id_of_an_earlier_one_has_not_ended(tmp_path, monkeypatch):
    said = [{"pid": 7}, {"pid": 7, "status": -9}, {"pid": 7}]

    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # The address of a Unix socket must be short.
        listener.bind("s")
        listener.listen()
        threading.Thread(target=_say, args=(listener, said), daemon=True).start()
        nursery = Nursery(f"{os.getpid()}:s")
        first, second = nursery.start(), nursery.start()
        nursery.close()

    assert first.wait(5) == -9
    assert second.wait(0) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork: nothing to test there.")
def test_a_template_that_has_ended_is_blamed_on_the_learners_code(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)
        listener.bind("s")
        listener.listen()
        threading.Thread(target=_say, args=(listener, [{"pid": 7}], False), daemon=True).start()
        nursery = Nursery(f"{os.getpid()}:s")

        nursery.start()  # It was started ahead.

        with pytest.raises(Trouble, match="Did your code kill its parent"):
            nursery.start()
        nursery.close()


def _say(listener: socket.socket, said: list[dict], stays: bool = True) -> None:
    """Be a template that says these things once it is asked, and then stays or ends."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(1)
        for message in said:
            connection.sendall(json.dumps(message).encode() + b"\n")
        while stays and connection.recv(1):
            pass
