"""JupyterHub, beside our hub in a benchmark or with servers of ours: its defaults, where the environment names no other."""

import json
import os

c = get_config()  # noqa: F821

c.JupyterHub.db_url = os.environ["BENCH_DATABASE"]
c.JupyterHub.bind_url = os.environ["BENCH_PUBLIC_URL"]
c.JupyterHub.hub_bind_url = os.environ["BENCH_HUB_URL"]
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"ada"}
# Only the hub is measured, so its proxy is one that costs little, and is there before it.
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = os.environ["BENCH_PROXY_API_URL"]
c.ConfigurableHTTPProxy.auth_token = os.environ["CONFIGPROXY_AUTH_TOKEN"]
if "SERVER_COMMAND" in os.environ:
    c.Spawner.cmd = json.loads(os.environ["SERVER_COMMAND"])
    c.SimpleLocalProcessSpawner.home_dir_template = os.getcwd()
