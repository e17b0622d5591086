//! Names, labels, ports, Secret keys and mount paths: what two programs must spell alike.

/// Manager of the fields that the operator applies.
pub const FIELD_MANAGER: &str = "hub-operator";
/// Finalizer on a `Hub`: orders the going of what owner references cannot reach.
pub const HUB_FINALIZER: &str = "jupyter.rs/hub";
/// Finalizer on a Secret of record: keeps its bytes until they are written into a new one.
pub const SECRET_FINALIZER: &str = "jupyter.rs/secret-of-record";

/// Annotation on a `Hub` that asks for a rotation: `cookie-secret`, `proxy-token` or `crypt-keys`. Taken off when it is acted on.
pub const ROTATE_ANNOTATION: &str = "jupyter.rs/rotate";
/// Annotation on a `Hub` that asks for a reset: as for a rotation, or `sessions`, or `all`. Taken off when it is acted on.
pub const RESET_ANNOTATION: &str = "jupyter.rs/reset";
/// Annotation on pods of hub and proxy, by which the operator makes the kubelet look at their Secrets at once.
pub const NUDGE_ANNOTATION: &str = "jupyter.rs/secrets-changed";

/// Annotation on the Secret of the certificate that is served: where it came from.
pub const CERTIFICATE_SOURCE_ANNOTATION: &str = "jupyter.rs/certificate-source";
/// Annotation on that Secret: the `https.type` under which it was written last.
pub const HTTPS_TYPE_ANNOTATION: &str = "jupyter.rs/https-type";
/// Serial number of the certificate, on the pod template of a proxy that reads it at its start only.
pub const CERTIFICATE_SERIAL_ANNOTATION: &str = "jupyter.rs/certificate-serial";

/// Name for which the server in a user's pod has a certificate, if it speaks TLS; on the pod.
pub const TLS_NAME_ANNOTATION: &str = "jupyter.rs/tls-name";

/// `app.kubernetes.io/*` and our own labels, on every object that belongs to a Hub.
pub mod label {
    pub const NAME: &str = "app.kubernetes.io/name";
    pub const INSTANCE: &str = "app.kubernetes.io/instance";
    pub const COMPONENT: &str = "app.kubernetes.io/component";
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    pub const VERSION: &str = "app.kubernetes.io/version";
    /// Name of the Hub that an object belongs to.
    pub const HUB: &str = "jupyter.rs/hub";
    /// Namespace of that Hub: user pods and their policies may live in another one.
    pub const HUB_NAMESPACE: &str = "jupyter.rs/hub-namespace";
    /// UID of that Hub. On Secrets of record and volume claims it says whose they were made.
    pub const HUB_UID: &str = "jupyter.rs/hub-uid";
    /// On the Secret of ACME while it has challenges to answer.
    pub const ACME: &str = "jupyter.rs/acme";
    /// kubespawner's component label: `singleuser-server` on pods, `singleuser-storage` on claims.
    pub const KUBESPAWNER_COMPONENT: &str = "component";
    pub const USERNAME: &str = "hub.jupyter.org/username";
    pub const SERVERNAME: &str = "hub.jupyter.org/servername";
    /// zero-to-jupyterhub's label, with the value `true`: pods beside the hub that may reach it directly.
    pub const NETWORK_ACCESS_HUB: &str = "hub.jupyter.org/network-access-hub";
}

/// Values of [`label::NAME`], [`label::MANAGED_BY`] and [`label::COMPONENT`].
pub mod label_value {
    pub const NAME: &str = "jupyterhub";
    pub const OPERATOR: &str = "hub-operator";
    pub const HUB: &str = "hub";
    pub const PROXY: &str = "proxy";
    pub const SINGLEUSER_SERVER: &str = "singleuser-server";
    pub const SINGLEUSER_STORAGE: &str = "singleuser-storage";
}

/// Checksum of the ConfigMap on a pod template: a change rolls the pods (secrets never do).
pub const CONFIG_CHECKSUM_ANNOTATION: &str = "jupyter.rs/config-checksum";

/// Version of the proxy's token on the pod template of configurable-http-proxy, which reads it once: a new one rolls the pod.
pub const PROXY_TOKEN_VERSION_ANNOTATION: &str = "jupyter.rs/proxy-token-version";

/// Ports, as zero-to-jupyterhub has them.
pub mod port {
    pub const HUB: u16 = 8081;
    pub const PROXY_HTTP: u16 = 8000;
    pub const PROXY_HTTPS: u16 = 8443;
    pub const PROXY_API: u16 = 8001;
    pub const PROXY_METRICS: u16 = 8002;
    pub const NOTEBOOK: u16 = 8888;
    /// Port names, also the names of the Services' ports.
    pub const HUB_NAME: &str = "http";
    pub const PROXY_HTTP_NAME: &str = "http";
    pub const PROXY_HTTPS_NAME: &str = "https";
    pub const PROXY_API_NAME: &str = "api";
    pub const PROXY_METRICS_NAME: &str = "metrics";
    pub const NOTEBOOK_NAME: &str = "notebook-port";
}

/// Keys in the Secrets of record, and the file names under which their values are mounted. A secret that has rotated has
/// more: see [`crate::versions`].
pub mod secret_key {
    /// 64 hexadecimal characters: 32 random bytes (S80).
    pub const COOKIE_SECRET: &str = "cookie-secret";
    /// A random string (S51).
    pub const PROXY_TOKEN: &str = "proxy-token";
    /// 64 hexadecimal characters: the key that encrypts `auth_state`.
    pub const CRYPT_KEYS: &str = "crypt-keys";
    /// Which versions of a secret there are: [`crate::versions::Versions`].
    pub const VERSIONS: &str = "versions.json";
    /// Certificate and key of a `kubernetes.io/tls` Secret.
    pub const TLS_CERTIFICATE: &str = "tls.crt";
    pub const TLS_KEY: &str = "tls.key";
    /// Certificate of an authority: in the ConfigMap of a self-signed one, beside what cert-manager issues, and where
    /// pods know each other by certificates.
    pub const CA_CERTIFICATE: &str = "ca.crt";
    /// Private key of an authority of the Hub's own: of a self-signed certificate, or of those between its pods.
    pub const CA_KEY: &str = "ca.key";
    /// The shared password of `auth.dummy`.
    pub const DUMMY_PASSWORD: &str = "password";
    /// What the provider of `auth.oidc` knows the hub by, and the authorities that the provider is believed by.
    pub const OIDC_CLIENT: &str = "client-secret";
    pub const OIDC_CA: &str = "ca.crt";
    /// The address of the PostgreSQL database.
    pub const DATABASE_URL: &str = "url";
}

/// Where the pods find what is mounted.
pub mod path {
    /// The rendered [`crate::config::HubConfig`].
    pub const CONFIG_DIR: &str = "/etc/jupyterhub/config";
    pub const CONFIG_FILE: &str = "hub.yaml";
    /// The administrator's logo.
    pub const PAGES_DIR: &str = "/etc/jupyterhub/pages";
    /// Each below it is a whole directory: `cookie`, `proxy`, `login-tokens` and `passwords` (a file for each user), `dummy`, `oidc`,
    /// `services` (a file for each service).
    pub const SECRETS_DIR: &str = "/etc/jupyterhub/secrets";
    pub const COOKIE_DIR: &str = "/etc/jupyterhub/secrets/cookie";
    pub const PROXY_DIR: &str = "/etc/jupyterhub/secrets/proxy";
    pub const CRYPT_DIR: &str = "/etc/jupyterhub/secrets/crypt";
    /// In the proxy's pod: the certificate that it serves.
    pub const TLS_DIR: &str = "/etc/jupyterhub/secrets/tls";
    /// In the pods of hub and proxy: the certificate by which users' servers know them, and the authority of both. The hub,
    /// which issues servers' certificates, has the authority's key there, too.
    pub const INTERNAL_TLS_DIR: &str = "/etc/jupyterhub/secrets/internal-tls";
    pub const LOGIN_TOKENS_DIR: &str = "/etc/jupyterhub/secrets/login-tokens";
    pub const OIDC_DIR: &str = "/etc/jupyterhub/secrets/oidc";
    pub const PASSWORDS_DIR: &str = "/etc/jupyterhub/secrets/passwords";
    pub const DUMMY_DIR: &str = "/etc/jupyterhub/secrets/dummy";
    pub const SERVICE_TOKENS_DIR: &str = "/etc/jupyterhub/secrets/services";
    pub const DATABASE_DIR: &str = "/etc/jupyterhub/secrets/database";
    /// The hub's volume, with the SQLite database on it.
    pub const DATA_DIR: &str = "/srv/jupyterhub";
    pub const DATABASE_FILE: &str = "/srv/jupyterhub/jupyterhub.sqlite";
    /// The audit log, if it is kept there.
    pub const AUDIT_FILE: &str = "/srv/jupyterhub/audit.log";
    /// Where commands in the hub's pod reach the running hub; nobody else can.
    pub const CONTROL_SOCKET: &str = "/tmp/hub/control.sock";
    /// In a user's pod: the `hub` program, if it is the server's front.
    pub const FRONT_DIR: &str = "/opt/hub-server";
    /// In a user's pod: the server's certificate and its key, and the authority of who may connect.
    pub const SERVER_TLS_DIR: &str = "/etc/jupyterhub/server-tls";
    /// The proxy's scratch volume, with its snapshot of the routes.
    pub const PROXY_STATE_DIR: &str = "/run/hub-proxy";
    pub const PROXY_SNAPSHOT: &str = "/run/hub-proxy/routes.json";
}

/// Names of what the operator makes for a Hub called `hub`.
pub mod child {
    /// Deployment, Service, ServiceAccount, Role, ConfigMap and NetworkPolicy of the hub.
    pub fn hub(hub: &str) -> String {
        format!("{hub}-hub")
    }

    /// Deployment and NetworkPolicy of the proxy.
    pub fn proxy(hub: &str) -> String {
        format!("{hub}-proxy")
    }

    /// The Service in front of the proxy's REST API, reached by the hub only.
    pub fn proxy_api(hub: &str) -> String {
        format!("{hub}-proxy-api")
    }

    /// The Service that people reach.
    pub fn proxy_public(hub: &str) -> String {
        format!("{hub}-proxy-public")
    }

    /// NetworkPolicy of the user pods.
    pub fn singleuser(hub: &str) -> String {
        format!("{hub}-singleuser")
    }

    /// The claim that holds the SQLite database.
    pub fn database_claim(hub: &str) -> String {
        format!("{hub}-hub-db")
    }

    /// Secret of record: [`super::secret_key::COOKIE_SECRET`].
    pub fn cookie_secret(hub: &str) -> String {
        format!("{hub}-cookie-secret")
    }

    /// Secret of record: [`super::secret_key::PROXY_TOKEN`].
    pub fn proxy_token(hub: &str) -> String {
        format!("{hub}-proxy-token")
    }

    /// Secret of record: [`super::secret_key::CRYPT_KEYS`].
    pub fn crypt_keys(hub: &str) -> String {
        format!("{hub}-crypt-keys")
    }

    /// Secret with the certificate that the proxy serves; made from whatever `spec.https` names.
    pub fn tls(hub: &str) -> String {
        format!("{hub}-tls")
    }

    /// Secret that cert-manager writes, and the `Certificate` that asks for it.
    pub fn cert_manager(hub: &str) -> String {
        format!("{hub}-cert-manager")
    }

    /// Secret of record: account key and order of ACME.
    pub fn acme(hub: &str) -> String {
        format!("{hub}-acme")
    }

    /// Secret of record: the key of the authority of a self-signed certificate.
    pub fn ca_key(hub: &str) -> String {
        format!("{hub}-ca-key")
    }

    /// ConfigMap with the authority of a self-signed certificate, for people to trust.
    pub fn ca(hub: &str) -> String {
        format!("{hub}-ca")
    }

    /// Secret of record: the key of the authority by which pods know each other.
    pub fn internal_ca_key(hub: &str) -> String {
        format!("{hub}-pods-authority")
    }

    /// Secret that is made from that key: the authority, and the certificate of hub and proxy.
    pub fn internal_tls(hub: &str) -> String {
        format!("{hub}-pods-certificate")
    }

    /// ConfigMap in which the hub tells the operator what it has loaded: [`crate::report::Report`].
    pub fn report(hub: &str) -> String {
        format!("{hub}-report")
    }

    /// Secret of record of `auth.token`: a key for each user.
    pub fn login_tokens(hub: &str) -> String {
        format!("{hub}-login-tokens")
    }

    /// Secret that is made from tokens and goes with its Hub: a key for each user of `auth.token`, with the login URL.
    pub fn login_urls(hub: &str) -> String {
        format!("{hub}-login-urls")
    }
}

/// The longest name of a Hub: with the longest suffix a child's name stays a DNS label (63).
pub const HUB_NAME_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::child;

    /// Else a child of Hub `x` would be one of Hub `x-a`, too.
    #[test]
    fn no_childs_suffix_ends_in_that_of_another() {
        let of_secrets = [
            child::cookie_secret,
            child::proxy_token,
            child::crypt_keys,
            child::tls,
            child::cert_manager,
            child::acme,
            child::ca_key,
            child::internal_ca_key,
            child::internal_tls,
            child::login_tokens,
            child::login_urls,
        ];
        let suffixes = of_secrets.map(|name| name(""));
        for suffix in &suffixes {
            let count = suffixes.iter().filter(|other| suffix.ends_with(*other)).count();
            assert_eq!(count, 1, "{suffix} ends in another's");
        }
    }
}
