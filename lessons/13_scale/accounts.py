"""The board's users: their passwords, logins and roles, in Redis."""

import hashlib
import json
import re
import secrets
import time
from dataclasses import dataclass

from werkzeug.security import generate_password_hash

from database import Database, Stream, key

ROLES = ("reader", "writer", "moderator")
NAME = re.compile("[A-Za-z0-9_-]{1,32}")  # of a user
LIFETIMES = {"session": 12 * 3600, "token": 30 * 24 * 3600}  # seconds, of each kind of login


@dataclass(frozen=True)
class Login:
    """A login of a user, which a session cookie or an API token proves until it expires."""

    hash: str  # of the cookie or the token
    user: str
    expires: float  # as time.time() counts


def new_secret() -> str:
    """Return 256 random bits, as text that a URL, a header and a cookie can contain."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return the hash by which a random secret is stored and looked up.

    A fast hash is enough, because 256 random bits can't be guessed. A password needs a slow hash.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Accounts:
    """Users, logins and roles. Many threads, processes and machines can use the same Redis.

    What may end a connection is appended to the board's stream, too, so that each process ends it.
    """

    def __init__(self, database: Database, stream: Stream, method: str) -> None:
        """`method` is how passwords are hashed, as werkzeug.security names it."""
        self._database, self._stream, self._method = database, stream, method
        self.decoy = generate_password_hash(new_secret(), method)  # the hash of a random password

    # Users

    def add_user(self, name: str, password: str) -> None:
        """Store a user, or give a user a new password, which ends all logins of the user."""
        if not NAME.fullmatch(name):
            raise ValueError("A name must have 1 to 32 letters, digits, hyphens or underscores.")
        hashed = generate_password_hash(password, self._method)
        self._stream.append({"user": name}, "HSET", key("users"), name, hashed)

    def password_hash(self, name: str) -> str:
        """Return the hash of the user's password, or "" if there is no such user."""
        return self._database.hget(key("users"), name) or ""

    # Logins

    def log_in(self, user: str, kind: str) -> str:
        """Store a new login of kind "session" or "token". Return its secret, which isn't stored."""
        secret, expires = new_secret(), time.time() + LIFETIMES[kind]
        # The login counts until the user has another password.
        row = {"kind": kind, "user": user, "expires": expires}
        row["password"] = digest(self.password_hash(user))
        self._database.set(key("login", digest(secret)), json.dumps(row), ex=LIFETIMES[kind])
        return secret

    def login(self, kind: str, secret: str) -> Login | None:
        """Return the login of this kind that the secret proves, or None if there isn't one now."""
        return self._login(digest(secret), (kind,))

    def login_by_hash(self, hashed: str) -> Login | None:
        """Return the login with this hash, or None if it has ended or expired."""
        return self._login(hashed, tuple(LIFETIMES))

    def _login(self, hashed: str, kinds: tuple[str, ...]) -> Login | None:
        row = json.loads(self._database.get(key("login", hashed)) or "null")
        if row is None or row["kind"] not in kinds or row["expires"] <= time.time():
            return None
        if row["password"] != digest(self.password_hash(row["user"])):
            return None
        return Login(hashed, row["user"], row["expires"])

    def log_out(self, login: Login) -> None:
        """End a login, whether it has expired or not."""
        self._stream.append({"login": login.hash}, "DEL", key("login", login.hash))

    # Roles

    def role(self, room: str, user: str) -> str | None:
        """Return the user's role in the room, or None if the user has no role there."""
        return self._database.hget(key("roles", room), user)

    def set_role(self, room: str, user: str, role: str | None) -> None:
        """Store the user's role in the room, one of ROLES. None removes the role."""
        roles = key("roles", room)
        command = ["HDEL", roles, user] if role is None else ["HSET", roles, user, role]
        self._stream.append({"user": user}, *command)
