"""A service that programs call with a token, on JupyterHub's own HubAuth: it says whose the token is."""

import json
import os
from urllib.parse import urlparse

from jupyterhub.services.auth import HubAuthenticated
from tornado.ioloop import IOLoop
from tornado.web import Application, HTTPError, RequestHandler


class WhoAmI(HubAuthenticated, RequestHandler):
    """The caller's model, or 403: a program has nowhere to log in."""

    def get(self):
        if self.current_user is None:
            raise HTTPError(403)
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(self.current_user))


prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
address = urlparse(os.environ["JUPYTERHUB_SERVICE_URL"])
Application([(prefix, WhoAmI)]).listen(address.port, address.hostname)
IOLoop.current().start()
