"""The replies to messages. One of them has a bug, as any program may."""


def reply(data: str | bytes, number: int) -> str | bytes:
    """Return the reply to a message, the `number`th of its connection, from 1."""
    if data == "count":
        return str(number)
    if isinstance(data, str) and data.split()[:1] == ["mean"]:
        return mean(data.split()[1:])
    return data


def mean(words: list[str]) -> str:
    """Return the mean of some whole numbers, as text."""
    numbers = [int(word) for word in words]
    return f"{sum(numbers) / len(numbers):g}"
