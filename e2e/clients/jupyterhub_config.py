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
c.ConfigurableHTTPProxy.api_url = os.environ["BENCH_PROXY_API_URL"]
if "CONFIGPROXY_AUTH_TOKEN" in os.environ:
    # Only the hub is measured, so its proxy is one that costs little, and is there before it.
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.auth_token = os.environ["CONFIGPROXY_AUTH_TOKEN"]
else:
    # As it comes: it starts what is on PATH under the proxy's name, and makes up the token. Where the proxy's API has TLS,
    # so have hub and servers, with certificates of JupyterHub's own.
    c.JupyterHub.internal_ssl = os.environ["BENCH_PROXY_API_URL"].startswith("https:")
    c.Spawner.args = ["--allow-root"] if os.geteuid() == 0 else []
    c.SimpleLocalProcessSpawner.home_dir_template = os.getcwd()
if "SERVER_COMMAND" in os.environ:
    c.Spawner.cmd = json.loads(os.environ["SERVER_COMMAND"])
    c.SimpleLocalProcessSpawner.home_dir_template = os.getcwd()
