"""The messages of an AsyncAPI file, to hold what goes by against them."""

from pathlib import Path

from course.grading.expect import expect


class Described:
    """The messages that a file describes, by their type."""

    def __init__(self, path: Path) -> None:
        import yaml

        self.document = yaml.safe_load(path.read_text("utf-8"))
        self.kinds = set(self.document["components"]["messages"])

    def kind(self, message: object) -> str:
        """Return the type of a message. Raises Unmet where it is not as the file describes it."""
        problem = self.problem(message)
        expect(not problem, "a message as asyncapi.yaml describes it", f"{problem}: {message}")
        return message["type"]

    def problem(self, message: object) -> str:
        """Return what the file does not allow in a message, or nothing."""
        import jsonschema

        kind = message.get("type") if isinstance(message, dict) else None
        if not isinstance(kind, str) or kind not in self.kinds:
            return f"There is no type {kind!r} in it"
        schema = {**self.document, "$ref": f"#/components/messages/{kind}/payload"}
        error = next(jsonschema.Draft7Validator(schema).iter_errors(message), None)
        return error.message if error else ""


def described(slug: str, root: Path, folder: Path) -> Described:
    """Return the messages of our file, or of the lesson's if solutions/ was removed."""
    files = [root / "solutions" / slug / "asyncapi.yaml", folder / "asyncapi.yaml"]
    return Described(next(file for file in files if file.is_file()))
