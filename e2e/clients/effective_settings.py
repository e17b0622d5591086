"""What the real Jupyter Server makes of settings, without serving: it reads them, and says what came out.

Reads a JSON list of cases, each with `env`, `args` and `dir`, from standard input; prints a JSON list of what each comes
to, null where the server would not start. Each case has a process of its own, but all share what was imported.
"""

import json
import os
import sys

from jupyter_server.serverapp import ServerApp


def effective(case):
    os.environ.clear()
    os.environ.update(case["env"])
    os.chdir(case["dir"])
    app = ServerApp()
    app.initialize(case["args"], find_extensions=False, new_httpserver=False)
    identity = app.identity_provider
    return {
        "token": "(generated)" if identity.token_generated else identity.token,
        "guarded": identity.auth_enabled,
        "base_url": app.base_url,
        "root_dir": os.path.abspath(app.root_dir),
    }


def in_a_process_of_its_own(case):
    reader, writer = os.pipe()
    if os.fork() == 0:
        with os.fdopen(writer, "w") as out:
            json.dump(effective(case), out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        text = said.read()
    os.wait()
    return json.loads(text or "null")


print(json.dumps([in_a_process_of_its_own(case) for case in json.load(sys.stdin)]))
