-- Our own tables. JupyterHub never reads them, and keeps what they refer to right through the foreign keys.
CREATE TABLE IF NOT EXISTS hub_settings (
    name VARCHAR(255) NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
-- Which token a server got when it was started: the one to end with the server.
CREATE TABLE IF NOT EXISTS hub_server_tokens (
    spawner_id INTEGER NOT NULL PRIMARY KEY REFERENCES spawners (id) ON DELETE CASCADE,
    token_id INTEGER NOT NULL REFERENCES api_tokens (id) ON DELETE CASCADE
);
-- Codes that were exchanged, and for which token: a second exchange ends it (RFC 6749 section 4.1.2).
CREATE TABLE IF NOT EXISTS hub_used_codes (
    code VARCHAR(36) NOT NULL PRIMARY KEY,
    token_id INTEGER REFERENCES api_tokens (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
);
-- Share codes that existed when their server's owner revoked a user's share: that user may not exchange them.
CREATE TABLE IF NOT EXISTS hub_refused_share_codes (
    share_code_id INTEGER NOT NULL REFERENCES share_codes (id) ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (share_code_id, user_id)
);
-- Login cookies that were logged out before they expired, by digest: they log nobody in again.
CREATE TABLE IF NOT EXISTS hub_ended_logins (
    login VARCHAR(64) NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
-- One-time login links that were not used yet, by hash.
CREATE TABLE IF NOT EXISTS hub_login_links (
    link VARCHAR(36) NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
);
-- Failed logins, by user (sealed: it may be a password in the wrong field) and network, for as long as they count.
CREATE TABLE IF NOT EXISTS hub_login_failures (
    login VARCHAR(64) NOT NULL,
    network VARCHAR(64) NOT NULL,
    failures BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (login, network)
);
-- Who a user is at the provider that people log in at (attack row 31): a user is one person there, whatever it calls them.
CREATE TABLE IF NOT EXISTS hub_oidc_identities (
    issuer VARCHAR(512) NOT NULL,
    subject VARCHAR(255) NOT NULL,
    user_id INTEGER NOT NULL UNIQUE REFERENCES users (id) ON DELETE CASCADE,
    member_of TEXT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
-- Which of the provider's sessions (hashed) a login came of: the provider may end it.
CREATE TABLE IF NOT EXISTS hub_oidc_sessions (
    login VARCHAR(64) NOT NULL PRIMARY KEY,
    provider_session VARCHAR(64) NOT NULL,
    session_id VARCHAR(64) NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
);
-- Users' passwords: a hash (argon2id, as a PHC string) of each.
CREATE TABLE IF NOT EXISTS hub_passwords (
    user_id INTEGER NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    hash VARCHAR(255) NOT NULL,
    changed_at BIGINT NOT NULL
);
-- Users who may do nothing until an administrator lets them in again.
CREATE TABLE IF NOT EXISTS hub_disabled_users (
    user_id INTEGER NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    disabled_at BIGINT NOT NULL
);
-- The logins of browsers that were seen, for people to look at and to end: by the digest of the login cookie, with the
-- session id that their tokens have. A login counts without a row: what ends one is hub_ended_logins.
CREATE TABLE IF NOT EXISTS hub_sessions (
    login VARCHAR(64) NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id VARCHAR(36),
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    address VARCHAR(64),
    user_agent VARCHAR(255) NOT NULL
);
CREATE INDEX IF NOT EXISTS ix_hub_sessions_user_id ON hub_sessions (user_id);
