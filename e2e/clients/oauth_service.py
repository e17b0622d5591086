"""A service that people log in to by OAuth, on JupyterHub's own HubOAuth: it says who they are."""

import json
import os
from urllib.parse import urlparse

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler, authenticated


class WhoAmI(HubOAuthenticated, RequestHandler):
    """The visitor's model; without a login tornado's decorator leads to the hub."""

    @authenticated
    def get(self):
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(self.current_user))


prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
address = urlparse(os.environ["JUPYTERHUB_SERVICE_URL"])
handlers = [(prefix, WhoAmI), (prefix + "oauth_callback", HubOAuthCallbackHandler)]
Application(handlers, cookie_secret=os.urandom(32)).listen(address.port, address.hostname)
IOLoop.current().start()
