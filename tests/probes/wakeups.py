"""Run inside the learner's process: lose a wake-up of the library, as sometimes happens."""

import threading

from simple_websocket import Server


def lose_wakeup() -> None:
    """Lose the event that the library sets when a message is too long.

    The library sets it before it marks the connection as closed, so that a handler may clear it,
    find the connection open, and wait again. By itself, this happens in about half of all cases.
    """
    real = Server._handle_events

    def handle_events(ws) -> bool:
        event, ws.event = ws.event, threading.Event()
        goes_on, is_set = real(ws), ws.event.is_set()
        ws.event = event
        too_long = ws.max_message_size and ws.incoming_message_len > ws.max_message_size
        if is_set and not too_long:
            event.set()
        return goes_on

    Server._handle_events = handle_events
