//! Settings of the ways of logging in.

use super::{Class, PYTHON, Trait, field, later, never};

const SYSTEM_USERS: &str = "no pod has the users of a machine; see spec.auth for the ways of logging in";
const NO_OAUTH: &str = "a Hub has no such setting of a login at a provider; see spec.auth.oidc for those that it has";
const NO_GROUPS: &str = "groups are those of spec.groups and of the REST API; list users in spec.auth.allowedUsers";
const SHARED_PASSWORD: &str = "write one password for everybody into a Secret and name it in \
                               spec.auth.dummy.passwordSecretRef";

const fn oauth(name: &'static str) -> Trait {
    later(name, NO_OAUTH)
}

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "Authenticator",
        base: None,
        traits: &[
            field("admin_users", "spec.auth.adminUsers"),
            field("allow_all", "spec.auth.allowAll"),
            later("allow_existing_users", "list users in spec.auth.allowedUsers, or set spec.auth.allowAll"),
            field("allowed_users", "spec.auth.allowedUsers"),
            never("any_allow_config", PYTHON),
            field("auth_refresh_age", "spec.auth.oidc.refreshSeconds"),
            later("auth_refresh_strict", "a login is good until it ends; remove it"),
            field("auto_login", "spec.auth.autoLogin"),
            later("auto_login_oauth2_authorize", "there is no other site to lead to; remove it"),
            field("blocked_users", "spec.auth.blockedUsers"),
            later("delete_invalid_users", "delete users over the REST API; remove it"),
            field("enable_auth_state", "spec.auth.enableAuthState"),
            field("manage_groups", "spec.auth.manageGroups"),
            later("manage_roles", "who has which role is in spec.roles"),
            later("otp_prompt", "no login asks for a one-time password; remove it"),
            never("post_auth_hook", PYTHON),
            never("reconcile_auth_state_hook", PYTHON),
            later("refresh_pre_spawn", "a login is good until it ends; remove it"),
            later("refresh_pre_stop", "a login is good until it ends; remove it"),
            later("request_otp", "no login asks for a one-time password; remove it"),
            later("reset_managed_roles_on_startup", "who has which role is in spec.roles"),
            later("username_map", "users are called what they log in as; remove it"),
            later("username_pattern", "list users in spec.auth.allowedUsers"),
            field("whitelist", "spec.auth.allowedUsers"),
        ],
    },
    Class {
        name: "LocalAuthenticator",
        base: Some("Authenticator"),
        traits: &[
            never("add_user_cmd", SYSTEM_USERS),
            later("admin_groups", NO_GROUPS),
            later("allowed_groups", NO_GROUPS),
            never("create_system_users", SYSTEM_USERS),
            later("group_whitelist", NO_GROUPS),
            never("uids", SYSTEM_USERS),
        ],
    },
    Class {
        name: "PAMAuthenticator",
        base: Some("LocalAuthenticator"),
        traits: &[
            never("check_account", SYSTEM_USERS),
            never("encoding", SYSTEM_USERS),
            never("executor_threads", SYSTEM_USERS),
            never("open_sessions", SYSTEM_USERS),
            never("pam_normalize_username", SYSTEM_USERS),
            never("service", SYSTEM_USERS),
        ],
    },
    Class { name: "NullAuthenticator", base: Some("Authenticator"), traits: &[] },
    Class {
        name: "DummyAuthenticator",
        base: Some("Authenticator"),
        traits: &[field("password", "spec.auth.dummy.passwordSecretRef").secret()],
    },
    Class {
        name: "SharedPasswordAuthenticator",
        base: Some("Authenticator"),
        traits: &[
            later("admin_password", SHARED_PASSWORD).secret(),
            later("password_groups", SHARED_PASSWORD).secret(),
            field("user_password", "spec.auth.dummy.passwordSecretRef").secret(),
        ],
    },
    Class {
        name: "OAuthenticator",
        base: Some("Authenticator"),
        traits: &[
            field("admin_groups", "spec.auth.oidc.adminGroups"),
            field("allowed_groups", "spec.auth.allowedGroups"),
            oauth("allowed_scopes"),
            field("auth_state_groups_key", "spec.auth.oidc.groupsClaim"),
            field("authorize_url", "spec.auth.oidc.endpoints.authorizationUrl"),
            later("basic_auth", "a Hub does as the provider says in its discovery document; remove it"),
            field("client_id", "spec.auth.oidc.clientId"),
            field("client_secret", "spec.auth.oidc.clientSecretRef").secret(),
            oauth("custom_403_message"),
            later("enable_pkce", "it is always used; remove it"),
            oauth("extra_authorize_params").secret(),
            oauth("http_request_kwargs").secret(),
            field("login_service", "spec.auth.oidc.displayName"),
            oauth("logout_redirect_url"),
            never("modify_auth_state_hook", PYTHON),
            field("oauth_callback_url", "spec.publicUrl"),
            never("refresh_user_hook", PYTHON),
            field("scope", "spec.auth.oidc.scopes"),
            oauth("token_params").secret(),
            field("token_url", "spec.auth.oidc.endpoints.tokenUrl"),
            oauth("userdata_from_id_token"),
            oauth("userdata_params").secret(),
            oauth("userdata_token_method"),
            field("userdata_url", "spec.auth.oidc.endpoints.userinfoUrl"),
            field("username_claim", "spec.auth.oidc.usernameClaim"),
            oauth("validate_server_cert"),
        ],
    },
    Class {
        name: "GenericOAuthenticator",
        base: Some("OAuthenticator"),
        traits: &[
            field("claim_groups_key", "spec.auth.oidc.groupsClaim"),
            oauth("extra_params").secret(),
            oauth("tls_verify"),
            field("username_key", "spec.auth.oidc.usernameClaim"),
        ],
    },
    Class {
        name: "Auth0OAuthenticator",
        base: Some("OAuthenticator"),
        traits: &[
            oauth("allow_unverified_email"),
            oauth("auth0_domain"),
            oauth("auth0_subdomain"),
            oauth("username_key"),
        ],
    },
    Class {
        name: "AzureAdOAuthenticator",
        base: Some("OAuthenticator"),
        traits: &[oauth("graph_url"), oauth("tenant_id"), oauth("user_groups_claim")],
    },
    Class { name: "BitbucketOAuthenticator", base: Some("OAuthenticator"), traits: &[oauth("allowed_teams")] },
    Class {
        name: "CILogonOAuthenticator",
        base: Some("OAuthenticator"),
        traits: &[oauth("allowed_idps"), oauth("cilogon_host"), oauth("shown_idps"), oauth("skin")],
    },
    Class {
        name: "GitHubOAuthenticator",
        base: Some("OAuthenticator"),
        traits: &[
            field("allowed_organizations", "spec.auth.allowedGroups"),
            oauth("github_api"),
            oauth("github_url"),
            oauth("populate_teams_in_auth_state"),
        ],
    },
    Class {
        name: "GitLabOAuthenticator",
        base: Some("OAuthenticator"),
        traits: &[
            oauth("allowed_gitlab_groups"),
            oauth("allowed_project_ids"),
            oauth("gitlab_api"),
            oauth("gitlab_api_version"),
            oauth("gitlab_url"),
        ],
    },
    Class {
        name: "GlobusOAuthenticator",
        base: Some("OAuthenticator"),
        traits: &[
            oauth("admin_globus_groups"),
            oauth("allowed_globus_groups"),
            oauth("exclude_tokens"),
            oauth("globus_groups_url"),
            oauth("globus_local_endpoint"),
            oauth("identity_provider"),
            oauth("revocation_url"),
            oauth("revoke_tokens_on_logout"),
            oauth("username_from_email"),
        ],
    },
    Class {
        name: "GoogleOAuthenticator",
        base: Some("OAuthenticator"),
        traits: &[
            oauth("admin_google_groups"),
            oauth("allowed_google_groups"),
            oauth("google_api_url"),
            oauth("google_service_account_keys").secret(),
            oauth("gsuite_administrator"),
            field("hosted_domain", "spec.auth.oidc.hostedDomains"),
            oauth("include_nested_groups"),
            oauth("strip_domain"),
        ],
    },
    Class {
        name: "MWOAuthenticator",
        base: Some("OAuthenticator"),
        traits: &[oauth("executor_threads"), oauth("mw_index_url")],
    },
    Class {
        name: "OpenShiftOAuthenticator",
        base: Some("OAuthenticator"),
        traits: &[
            oauth("ca_certs"),
            oauth("openshift_auth_api_url"),
            oauth("openshift_rest_api_url"),
            oauth("openshift_url"),
            oauth("validate_cert"),
        ],
    },
];
