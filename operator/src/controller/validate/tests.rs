//! What is refused, and with which words.

use hub_crds::config::AuthenticatorConfig;
use serde_json::{Value, json};

use super::*;
use crate::{fixtures, secrets::Known};

fn judged(changes: &Value) -> Result<ValidatedHub, Error> {
    validate(&fixtures::found(changes), &fixtures::images())
}

#[test]
fn the_fixture_is_good_and_its_defaults_are_filled_in() {
    let hub = judged(&json!({})).unwrap();
    assert_eq!((hub.hub.image.as_str(), hub.proxy.image.as_str()), ("hub:1", "hub-proxy:1"));
    assert_eq!(hub.user_namespace, "lab");
    assert_eq!(hub.secrets.login_tokens["grace"].name, "grace-secret");
    assert_eq!(hub.secrets.login_tokens["ada"].name, "physics-login-tokens");
}

/// Each wrong spec, and what its message must name.
#[test]
fn wrong_fields_are_refused_with_their_path() {
    let template = |spec: Value| json!({"singleuser": {"podTemplate": {"spec": spec}}});
    let container =
        |context: Value| template(json!({"containers": [{"name": "notebook", "securityContext": context}]}));
    let profile = |overrides: Value| json!({"singleuser": {"profiles": [{"slug": "gpu", "displayName": "GPU", "overrides": overrides}]}});
    let choice = |overrides: Value| {
        let choices = json!([{"slug": "x", "displayName": "X", "overrides": overrides}]);
        json!({"singleuser": {"profiles": [
            {"slug": "gpu", "displayName": "GPU", "options": [{"slug": "image", "displayName": "Image", "choices": choices}]},
        ]}})
    };
    for (changes, words) in [
        (
            profile(json!({"podTemplate": {"spec": {"hostNetwork": true}}})),
            "spec.singleuser.profiles[gpu].overrides.podTemplate.spec.hostNetwork",
        ),
        (
            choice(json!({"podTemplate": {"spec": {"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}}})),
            "spec.singleuser.profiles[gpu].options[image].choices[x].overrides.podTemplate.spec.volumes[h].hostPath",
        ),
        (
            profile(json!({"extraEnv": [{"name": "JUPYTERHUB_USER", "value": "root"}]})),
            "spec.singleuser.profiles[gpu].overrides.extraEnv must not set JUPYTERHUB_USER",
        ),
        (profile(json!({"extraResources": {"limits": {"cpu": 1}}})), "use spec.singleuser.profiles[gpu].overrides.cpu"),
        (
            profile(json!({"memory": {"limit": "512M"}})),
            "spec.singleuser.profiles[gpu].overrides.memory: with spec.singleuser the guarantee is 1G and the limit 512M",
        ),
        (
            choice(json!({"memory": {"limit": "512M"}})),
            "spec.singleuser.profiles[gpu].options[image].choices[x].overrides.memory: with spec.singleuser the guarantee",
        ),
        (json!({"https": null}), "spec.https is required"),
        (json!({"https": {"allowInsecure": false}}), "spec.https.allowInsecure"),
        (json!({"https": {"type": "secret"}}), "spec.https.secret and type 'secret' go together"),
        (
            json!({"https": {"certManager": {"issuerRef": {"name": "x"}}}}),
            "spec.https.certManager and type 'certManager'",
        ),
        (json!({"proxy": {"ingress": {}}}), "spec.proxy.ingress needs TLS that ends in front of the proxy"),
        (
            json!({"https": {"type": "external"}, "proxy": {"httpRoute": {"parentRefs": [{"namespace": "x"}]}}}),
            "spec.proxy.httpRoute.parentRefs[0].name is required",
        ),
        (json!({"https": {"type": "external"}, "proxy": {"httpRoute": {"parentRefs": []}}}), "must name a Gateway"),
        (
            json!({"proxy": {"trustedProxies": ["10.0.0.0/8", "10.0.0.0/33"]}}),
            "spec.proxy.trustedProxies[1]: '10.0.0.0/33'",
        ),
        (
            json!({"proxy": {"implementation": "configurable-http-proxy", "trustedProxies": ["::1"]}}),
            "spec.proxy.trustedProxies is more than configurable-http-proxy can do",
        ),
        (
            json!({"proxy": {"implementation": "configurable-http-proxy", "replicas": 2}}),
            "spec.proxy.replicas is more than configurable-http-proxy can do",
        ),
        (
            json!({"https": {"type": "selfSigned", "hsts": {}}, "proxy": {"implementation": "configurable-http-proxy"}}),
            "spec.https.hsts is more than",
        ),
        (
            json!({
                "https": {"type": "selfSigned", "extraSecrets": [{"name": "x"}]},
                "proxy": {"implementation": "configurable-http-proxy"},
            }),
            "spec.https.extraSecrets is more than",
        ),
        (
            json!({"https": {"type": "selfSigned", "minVersion": "TLSv1.3"}, "proxy": {"implementation": "configurable-http-proxy"}}),
            "spec.https.minVersion is more than",
        ),
        (
            json!({"security": {"internalTLS": true}, "proxy": {"implementation": "configurable-http-proxy"}}),
            "spec.security.internalTLS needs a proxy that holds servers to their names: set spec.proxy.implementation to 'hub-proxy'",
        ),
        (
            json!({"security": {"internalTLS": true}, "singleuser": {"front": "hub-server"}}),
            "spec.security.internalTLS cannot be used with spec.singleuser.front",
        ),
        (
            json!({"security": {"internalTLS": true}, "services": [{"name": "a", "url": "HTTPS://grader.example"}]}),
            "spec.services[0].url cannot be https with spec.security.internalTLS",
        ),
        (
            json!({"cull": {"profiles": [{"slug": "gpu", "timeout": 600}]}}),
            "spec.cull.profiles[gpu] is no profile: add it to spec.singleuser.profiles",
        ),
        (json!({"auth": null}), "exactly one of token, password, dummy and oidc"),
        (json!({"auth": {"dummy": {"allowAnyPassword": true}}}), "exactly one of token, password, dummy and oidc"),
        (
            json!({"hub": {"affinity": {"nodeAffinty": {"x": 1}}}}),
            "spec.hub.affinity.nodeAffinty: there is no such field",
        ),
        (json!({"hub": {"affinity": {"nodeAffinity": 7}}}), "spec.hub.affinity.nodeAffinity"),
        (
            json!({"proxy": {"topologySpreadConstraints": [{"maxSkew": "one"}]}}),
            "spec.proxy.topologySpreadConstraints[0].maxSkew",
        ),
        (
            json!({"singleuser": {"extraVolumes": [{"name": "n", "hostPath": {"path": "/"}}]}}),
            "spec.singleuser.extraVolumes[n].hostPath",
        ),
        (
            json!({"singleuser": {"extraVolumes": [{"name": "n", "nfs": {"server": "s", "path": "/"}}]}}),
            "spec.singleuser.extraVolumes[n].nfs",
        ),
        (
            json!({"singleuser": {"extraVolumeMounts": [{"name": "n", "mountpath": "/x"}]}}),
            "spec.singleuser.extraVolumeMounts[0].mountpath",
        ),
        (
            json!({"singleuser": {"initContainers": [{"name": "i", "securityContext": {"privileged": true}}]}}),
            "spec.singleuser.initContainers[i].securityContext.privileged",
        ),
        (json!({"singleuser": {"extraResources": {"limits": {"cpu": 1}}}}), "use spec.singleuser.cpu"),
        (
            json!({"singleuser": {"podTemplate": {"metadata": {"labels": {"jupyter.rs/hub": "x"}}}}}),
            "must not set jupyter.rs/hub",
        ),
        (template(json!({"hostNetwork": true})), "spec.singleuser.podTemplate.spec.hostNetwork"),
        (template(json!({"hostPID": true})), "hostPID"),
        (template(json!({"hostIPC": true})), "hostIPC"),
        (
            template(json!({"securityContext": {"runAsNonRoot": false}})),
            "podTemplate.spec.securityContext.runAsNonRoot",
        ),
        (template(json!({"securityContext": {"runAsUser": 0}})), "securityContext.runAsUser"),
        (template(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})), "seccompProfile"),
        (template(json!({"securityContext": {"sysctls": [{"name": "a", "value": "b"}]}})), "sysctls"),
        (
            template(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]})),
            "podTemplate.spec.volumes[v].hostPath",
        ),
        (template(json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 1}]}]})), "hostPort"),
        (container(json!({"allowPrivilegeEscalation": true})), "allowPrivilegeEscalation"),
        (container(json!({"capabilities": {"add": ["SYS_ADMIN"]}})), "capabilities.add"),
        (container(json!({"procMount": "Unmasked"})), "procMount"),
        (container(json!({"runAsUser": 0})), "containers[notebook].securityContext.runAsUser"),
        (
            json!({"roles": [{"name": "grader", "scopes": ["read:user"]}]}),
            "spec.roles[grader].scopes: Scope 'read:user' does not exist: did you mean 'read:users'?",
        ),
        (
            json!({"roles": [{"name": "grader", "services": ["grades"]}]}),
            "spec.roles[grader].services: there is no service grades",
        ),
        (
            json!({"roles": [{"name": "grader", "scopes": ["custom:grades:read"]}]}),
            "spec.roles[grader].scopes: Scope 'custom:grades:read' does not exist: declare it in customScopes",
        ),
        (
            json!({"services": [{"name": "grades", "oauthClientAllowedScopes": ["nope"]}]}),
            "spec.services[grades].oauthClientAllowedScopes: Scope 'nope' does not exist",
        ),
        (
            json!({"customScopes": [{"name": "custom:one", "description": "x", "subscopes": ["custom:two"]}]}),
            "spec.customScopes: 'custom:one' includes 'custom:two', which is not declared",
        ),
        (json!({"groups": [{"name": "class", "users": ["a/b"]}]}), "spec.groups[class].users: 'a/b' cannot be"),
        (
            json!({"security": {"cookieSecret": {"rotation": {"schedule": "monthly"}}}}),
            "spec.security.cookieSecret.rotation.schedule: must have five fields",
        ),
        (
            json!({"security": {"cryptKeys": {"rotation": {"schedule": "0 25 * * *"}}}}),
            "spec.security.cryptKeys.rotation.schedule: ",
        ),
        (
            json!({"security": {"proxyAuthToken": {"rotation": {"gracePeriod": "1.5h30m"}}}}),
            "spec.security.proxyAuthToken.rotation.gracePeriod: ",
        ),
        (
            json!({"security": {"cookieSecret": {
                "secretRef": {"name": "mine", "key": "k"}, "rotation": {"schedule": "0 3 * * *"},
            }}}),
            "spec.security.cookieSecret.rotation.schedule cannot be used with secretRef",
        ),
        (
            json!({"security": {"proxyAuthToken": {"secretRef": {"name": "physics-proxy-token", "key": "proxy-token"}}}}),
            "spec.security.proxyAuthToken.secretRef names physics-proxy-token, which the operator makes",
        ),
    ] {
        let Err(Error::Invalid(problems)) = judged(&changes) else { panic!("accepted: {changes}") };
        assert!(problems.iter().any(|problem| problem.contains(words)), "{words:?} is not in {problems:?}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let changes = json!({"hub": {"affinity": {"x": 1}}, "singleuser": {"podTemplate": {"spec": {"hostPID": true}}}});
    let Err(Error::Invalid(problems)) = judged(&changes) else { panic!("accepted") };
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn what_restricted_allows_is_accepted() {
    judged(&json!({"singleuser": {
        "extraVolumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}, {"name": "data", "persistentVolumeClaim": {"claimName": "d"}}],
        "initContainers": [{"name": "i", "image": "x", "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}],
        "podTemplate": {"metadata": {"labels": {"team": "a"}}, "spec": {"hostname": "x", "containers": [{"name": "notebook"}]}},
    }}))
    .unwrap();
}

#[test]
fn secrets_that_are_missing_or_wrong_are_named_with_field_key_and_remedy() {
    let reference = json!({"secretRef": {"name": "mine", "key": "k"}});
    let cookie = json!({"security": {"cookieSecret": reference}});
    let token = json!({"security": {"proxyAuthToken": reference}});
    let service = json!({"services": [{"name": "grades", "apiTokenSecretRef": {"name": "mine", "key": "k"}}]});
    let twins = json!({"services": [
        {"name": "grades", "apiTokenSecretRef": {"name": "mine", "key": "k"}},
        {"name": "marks", "apiTokenSecretRef": {"name": "mine", "key": "l"}},
    ]});
    let shared = json!({"auth": {"token": {"users": [
        {"name": "ada", "tokenSecretRef": {"name": "mine", "key": "k"}},
        {"name": "eve", "tokenSecretRef": {"name": "mine", "key": "l"}},
    ]}}});
    let dummy = json!({"auth": {"token": null, "dummy": {"passwordSecretRef": {"name": "mine", "key": "k"}}, "allowAll": true}});
    let oidc = |ca: Value| {
        let provider = json!({
            "issuer": "https://a", "clientId": "hub", "clientSecretRef": {"name": "mine", "key": "k"}, "caSecretRef": ca,
        });
        json!({"auth": {"token": null, "oidc": provider, "allowAll": true}})
    };
    let (oidc, with_ca) = (oidc(json!(null)), oidc(json!({"name": "mine", "key": "ca"})));
    let passwords =
        json!({"auth": {"token": null, "password": {"usersSecretRef": {"name": "mine"}}, "allowAll": true}});
    let postgres = json!({"database": {"type": "postgres", "urlSecretRef": {"name": "mine", "key": "k"}}});
    for (changes, values, reason, words) in [
        (&postgres, None, reason::SECRET_MISSING, "spec.database.urlSecretRef"),
        (
            &postgres,
            Some(json!({"k": "mysql://hub:hunter2@db/hub"})),
            reason::SECRET_INVALID,
            "postgresql://user:password@host",
        ),
        (&cookie, None, reason::SECRET_MISSING, "spec.security.cookieSecret.secretRef"),
        (&cookie, Some(json!({"other": "x"})), reason::SECRET_INVALID, "the key k"),
        (&cookie, Some(json!({"k": "short"})), reason::SECRET_INVALID, "64 hexadecimal"),
        (&token, Some(json!({"k": "with space"})), reason::SECRET_INVALID, "without spaces"),
        (&dummy, Some(json!({"k": ""})), reason::SECRET_INVALID, "must not be empty"),
        (&oidc, None, reason::SECRET_MISSING, "spec.auth.oidc.clientSecretRef"),
        (&oidc, Some(json!({"k": " \n"})), reason::SECRET_INVALID, "must not be empty"),
        (&with_ca, Some(json!({"k": "s", "ca": "no PEM"})), reason::SECRET_INVALID, "must be certificates in PEM"),
        (&passwords, None, reason::SECRET_MISSING, "remove spec.auth.password.usersSecretRef"),
        (
            &passwords,
            Some(json!({"ada": "hunter2"})),
            reason::SECRET_INVALID,
            "the hash that `hub password hash` prints",
        ),
        (&passwords, Some(json!({"Ada": "x"})), reason::SECRET_INVALID, "write it in lower case"),
        (&service, None, reason::SECRET_MISSING, "spec.services[grades].apiTokenSecretRef"),
        (&service, Some(json!({"x": "y"})), reason::SECRET_INVALID, "the key k"),
        (&service, Some(json!({"k": "short"})), reason::SECRET_INVALID, "must be 8 to 64 printable characters"),
        (
            &twins,
            Some(json!({"k": "same-token", "l": "same-token"})),
            reason::SECRET_INVALID,
            "spec.services[marks].apiTokenSecretRef names, is also the token of the service grades",
        ),
        (
            &shared,
            Some(json!({"k": "same-token", "l": "same-token"})),
            reason::SECRET_INVALID,
            "spec.auth.token.users[eve].tokenSecretRef names, is also the token of the user ada: give each its own",
        ),
        (&json!({}), Some(json!({})), reason::SECRET_MISSING, "spec.auth.token.users[grace].tokenSecretRef"),
    ] {
        let mut found = fixtures::found(changes);
        if words.contains("grace") {
            found.referenced.clear();
        }
        found.referenced.extend(values.map(|values| fixtures::secret("mine", &values)));
        let error = validate(&found, &fixtures::images()).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(words), "{words:?} is not in {error}");
        assert!(error.is_about_secrets() && !error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn passwords_are_in_the_secret_of_their_own_or_in_none() {
    let with = |password: &serde_json::Value| json!({"auth": {"token": null, "password": password, "allowAll": true}});
    let hash = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$cI4B626uUyh9pyANJ9aXpA\n";
    let mut found = fixtures::found(&with(&json!({"usersSecretRef": {"name": "mine"}})));
    found.referenced.extend([fixtures::secret("mine", &json!({"ada": hash, "grace": hash}))]);
    let hub = validate(&found, &fixtures::images()).unwrap();
    assert_eq!(hub.secrets.passwords.as_deref(), Some("mine"));
    let hub = validate(&fixtures::found(&with(&json!({"firstUse": true}))), &fixtures::images()).unwrap();
    assert_eq!(hub.secrets.passwords, None);
    assert_eq!(
        hub.auth.authenticator,
        AuthenticatorConfig::Password { users_dir: None, first_use: true, min_length: 8 }
    );
}

/// A value that was cut short or emptied by hand keeps the hub from being restarted onto it, and is not replaced.
#[test]
fn a_secret_of_record_that_was_damaged_is_told() {
    for value in ["", "deadbeef", &"x".repeat(64)] {
        let mut found = fixtures::found(&json!({}));
        let (_, secret) = fixtures::secret("physics-cookie-secret", &json!({"cookie-secret": value}));
        let mut secret = (*secret).clone();
        let mut labels = crate::controller::types::own_labels("physics", "lab");
        labels.insert("jupyter.rs/hub-uid".into(), "u-1".into());
        secret.metadata.labels = Some(labels);
        found.records[0].1 = Known { live: Some(secret), copy: None, had: true };
        let error = validate(&found, &fixtures::images()).unwrap_err();
        assert_eq!(error.reason(), reason::SECRET_INVALID);
        assert!(error.is_about_secrets());
        let words = error.to_string();
        assert!(words.contains("Secret physics-cookie-secret: ") && words.contains("backup"), "{words}");
    }
}

#[test]
fn a_lost_and_a_foreign_secret_are_told_apart() {
    let mut found = fixtures::found(&json!({}));
    found.records[0].1.had = true;
    assert_eq!(validate(&found, &fixtures::images()).unwrap_err().reason(), reason::SECRET_LOST);
    let mut found = fixtures::found(&json!({}));
    found.records[1].1.live = Some((*fixtures::secret("physics-proxy-token", &json!({})).1).clone());
    assert_eq!(validate(&found, &fixtures::images()).unwrap_err().reason(), reason::CONFLICT);
}

/// A claim cannot shrink: one that was taken up again keeps its size.
#[test]
fn a_larger_claim_is_kept() {
    let claim = |size: &str| {
        let claim = json!({"spec": {"resources": {"requests": {"storage": size}}}});
        let mut found = fixtures::found(&json!({}));
        found.claim = Some(std::sync::Arc::new(serde_json::from_value(claim).unwrap()));
        match validate(&found, &fixtures::images()).unwrap().database {
            DatabasePlace::Volume(volume) => volume.storage.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(claim("5Gi"), "5Gi");
    assert_eq!(claim("500Mi"), "1Gi");
}
