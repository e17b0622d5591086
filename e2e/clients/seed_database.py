"""Makes a database for benchmarks with JupyterHub's own tables: users with tokens and servers.

    seed_database.py FILE USERS RUNNING

RUNNING of the USERS have a server that was running when the hub was last seen; its process is gone. Tokens are made from
names, so that the benchmark knows them: see `token`.
"""

import hashlib
import sys
from datetime import timedelta

from jupyterhub import orm, roles
from jupyterhub.utils import utcnow
from sqlalchemy import text

# No process has a number as large.
GONE = 2**30
BATCH = 1000


def token(name):
    return hashlib.sha256(f"token of {name}".encode()).hexdigest()[:32]


def add_token(db, user, name, scopes, note):
    new = orm.APIToken(user=user, note=note, scopes=scopes, client_id="jupyterhub")
    new.token = token(name)
    db.add(new)


def add_user(db, name, admin, names_of_roles):
    now = utcnow(with_tz=False)
    user = orm.User(name=name, admin=admin, created=now - timedelta(days=1), last_activity=now - timedelta(minutes=10))
    user.roles.extend(names_of_roles)
    db.add(user)
    add_token(db, user, name, ["inherit"], "benchmark")
    return user


def add_server(db, user, number, running):
    """A server that stopped, or one whose process went away while nobody looked, with its token for activity."""
    spawner = orm.Spawner(user=user, name="", state={}, user_options={})
    if running:
        now = utcnow(with_tz=False)
        spawner.started, spawner.last_activity, spawner.state = now, now, {"pid": GONE + number}
        spawner.server = orm.Server(ip="127.0.0.1", port=20000 + number % 40000, base_url=f"/user/{user.name}/")
        spawner.oauth_client = orm.OAuthClient(
            identifier=f"jupyterhub-user-{user.name}",
            secret=orm.hash_token(token(f"client {user.name}"), rounds=1, salt=8, algorithm="sha512"),
            redirect_uri=f"/user/{user.name}/oauth_callback",
            allowed_scopes=[],
        )
    db.add(spawner)
    add_token(db, user, f"server {user.name}", ["users:activity!user"], f"Server at /user/{user.name}/")


def main(path, users, running):
    db = orm.new_session_factory(f"sqlite:///{path}")()
    # Both sides write ahead: the mode stays with the file.
    db.execute(text("PRAGMA journal_mode=WAL"))
    db.add(orm.OAuthClient(identifier="jupyterhub", secret="", redirect_uri="", allowed_scopes=[]))
    db.commit()
    for role in roles.get_default_roles():
        roles.create_role(db, role)
    user_role, admin_role = orm.Role.find(db, "user"), orm.Role.find(db, "admin")
    add_user(db, "ada", True, [user_role, admin_role])
    for number in range(users):
        user = add_user(db, f"u{number}", False, [user_role])
        add_server(db, user, number, number < running)
        if number % BATCH == 0:
            db.commit()
    db.commit()
    db.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
