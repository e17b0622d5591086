"""An OAuth client that knows nothing of JupyterHub: requests-oauthlib, the authorization code grant, and PKCE.

Prints one JSON object: `user`, what the hub says of the token's owner, and `refused`, the errors of what must not work.
"""

import json
import os
from html.parser import HTMLParser

import requests
from oauthlib.oauth2 import OAuth2Error
from requests_oauthlib import OAuth2Session

HUB = os.environ["HUB_URL"]
AUTHORIZE = f"{HUB}/hub/api/oauth2/authorize"
TOKEN = f"{HUB}/hub/api/oauth2/token"
CLIENT_ID = os.environ["CLIENT_ID"]
CLIENT_SECRET = os.environ["CLIENT_SECRET"]
REDIRECT_URI = os.environ["REDIRECT_URI"]


class HiddenFields(HTMLParser):
    """What a page's form sends without anyone typing."""

    def __init__(self, page):
        super().__init__()
        self.fields = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "input" and attrs.get("type") == "hidden":
            self.fields.append((attrs["name"], attrs["value"]))


def log_in():
    """A person's browser, at the hub's login address."""
    browser = requests.Session()
    browser.headers["Sec-Fetch-Mode"] = "navigate"
    browser.get(f"{HUB}/hub/login", params={"token": os.environ["LOGIN_TOKEN"]}).raise_for_status()
    return browser


def authorize(browser, client):
    """Asks the person, who agrees, for a code; gives the address that the hub sends the browser to."""
    url, _state = client.authorization_url(AUTHORIZE)
    answer = browser.get(url, allow_redirects=False)
    if answer.status_code == 200:
        fields = HiddenFields(answer.text).fields
        answer = browser.post(url, data=fields, headers={"Origin": HUB, "Referer": url}, allow_redirects=False)
    assert answer.status_code == 302, f"{answer.status_code}: {answer.text}"
    location = answer.headers["Location"]
    assert location.startswith(REDIRECT_URI), location
    return location


def fetch_token(client, location):
    return client.fetch_token(
        TOKEN, authorization_response=location, client_secret=CLIENT_SECRET, include_client_id=True
    )


def refusal(client, location):
    """The error that an exchange ends with."""
    try:
        fetch_token(client, location)
    except OAuth2Error as error:
        return error.error
    return None


def new_client():
    return OAuth2Session(CLIENT_ID, redirect_uri=REDIRECT_URI, pkce="S256")


browser = log_in()
client = new_client()
location = authorize(browser, client)
fetch_token(client, location)
user = client.get(f"{HUB}/hub/api/user")
user.raise_for_status()

stolen = new_client()
stolen_location = authorize(browser, stolen)
stolen._code_verifier = "x" * 64

print(json.dumps({
    "user": user.json(),
    "refused": {"used code": refusal(client, location), "wrong verifier": refusal(stolen, stolen_location)},
}))
