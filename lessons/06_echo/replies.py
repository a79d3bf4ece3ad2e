"""What a message is answered with. It has a bug, as any program may."""


def reply(data: str | bytes, number: int) -> str | bytes:
    """Return the answer to the message that is the `number`th of its connection, from 1 on."""
    if data == "count":
        return str(number)
    if isinstance(data, str) and data.split()[:1] == ["mean"]:
        return mean(data.split()[1:])
    return data


def mean(words: list[str]) -> str:
    """Return the mean of the whole numbers, as text."""
    numbers = [int(word) for word in words]
    return f"{sum(numbers) / len(numbers):g}"
