//! Wrong Hubs, which the API server refuses with words that say what to do, and good ones, whose gaps it fills.

mod https;

use anyhow::{Context, Result, bail, ensure};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::cluster::{Cluster, NAMESPACE};

/// Changes to a good Hub that make it a wrong one (`null` takes a field away), and what the refusal says.
fn wrong() -> Vec<(&'static str, Value, &'static str)> {
    let secret = json!({"name": "s", "key": "k"});
    let dummy = |dummy: Value| json!({"auth": {"token": null, "dummy": dummy}});
    let service = |service: Value| {
        let mut named = json!({"name": "grades"});
        merge(&mut named, &service);
        json!({"services": [named]})
    };
    vec![
        ("no auth", json!({"auth": null}), "set exactly one of spec.auth.token and spec.auth.dummy"),
        (
            "two ways to log in",
            json!({"auth": {"dummy": {"allowAnyPassword": true}, "allowAll": true}}),
            "exactly one of token and dummy",
        ),
        ("no way to log in", json!({"auth": {"token": null}}), "exactly one of token and dummy"),
        (
            "a public address elsewhere",
            json!({"baseUrl": "/a/", "publicUrl": "https://hub.example.org/b/"}),
            "spec.publicUrl must end with spec.baseUrl",
        ),
        (
            "a public address without TLS",
            json!({"publicUrl": "http://hub.example.org/"}),
            "spec.publicUrl must start with https://",
        ),
        ("a public address without a scheme", json!({"publicUrl": "hub.example.org/"}), "^https?://"),
        (
            "subdomains without TLS",
            json!({"subdomainHost": "http://hub.example.org"}),
            "spec.subdomainHost must start with https://",
        ),
        ("subdomains of a number", json!({"subdomainHost": "https://10.0.0.1"}), "^https?://"),
        ("subdomains of a path", json!({"subdomainHost": "https://hub.example.org/"}), "^https?://"),
        (
            "subdomains of another host than the public one",
            json!({"publicUrl": "https://hub.example.org/", "subdomainHost": "https://example.org"}),
            "spec.publicUrl must be spec.subdomainHost followed by spec.baseUrl",
        ),
        (
            "prefixed cookies without TLS",
            json!({"https": {"type": "none", "allowInsecure": true}, "security": {"cookieHostPrefix": true}}),
            "spec.security.cookieHostPrefix needs TLS",
        ),
        (
            "TLS to servers behind a proxy that takes any certificate",
            json!({"security": {"internalTLS": true}, "proxy": {"implementation": "configurable-http-proxy"}}),
            "set spec.proxy.implementation to 'hub-proxy'",
        ),
        (
            "TLS to servers that speak none",
            json!({"security": {"internalTLS": true}, "singleuser": {"front": "hub-server"}}),
            "spec.security.internalTLS cannot be used with spec.singleuser.front",
        ),
        ("a base URL without its slash", json!({"baseUrl": "/jupyter"}), "^/("),
        (
            "a login that lets nobody in",
            dummy(json!({"allowAnyPassword": true})),
            "set spec.auth.allowedUsers, spec.auth.adminUsers or spec.auth.allowAll: true",
        ),
        (
            "a dummy login without a password",
            json!({"auth": {"token": null, "dummy": {}, "allowAll": true}}),
            "needs passwordSecretRef, or allowAnyPassword: true",
        ),
        (
            "a dummy login with and without a password",
            json!({"auth": {"token": null, "dummy": {"passwordSecretRef": secret, "allowAnyPassword": true}, "allowAll": true}}),
            "not both",
        ),
        (
            "a user who is allowed and blocked",
            json!({"auth": {"allowedUsers": ["eve"], "blockedUsers": ["eve"]}}),
            "remove them from one",
        ),
        (
            "an administrator who is blocked",
            json!({"auth": {"adminUsers": ["eve"], "blockedUsers": ["eve"]}}),
            "both spec.auth.adminUsers and spec.auth.blockedUsers",
        ),
        ("no users", json!({"auth": {"token": {"users": []}}}), "at least 1 items"),
        ("a user twice", json!({"auth": {"token": {"users": [{"name": "ada"}, {"name": "ada"}]}}}), "Duplicate value"),
        (
            "a user's name that is no key",
            json!({"auth": {"token": {"users": [{"name": "Ada Lovelace"}]}}}),
            "spec.auth.token.users[0].name",
        ),
        (
            "a token without its key",
            json!({"auth": {"token": {"users": [{"name": "ada", "tokenSecretRef": {"name": "s"}}]}}}),
            "tokenSecretRef.key: Required value",
        ),
        (
            "one token of two users",
            json!({"auth": {"token": {"users": [
                {"name": "ada", "tokenSecretRef": secret},
                {"name": "grace", "tokenSecretRef": secret},
            ]}}}),
            "give each a key of their own",
        ),
        (
            "a token of nobody",
            json!({"auth": {"token": {"users": [{"tokenSecretRef": secret}]}}}),
            "spec.auth.token.users[0].name: Required value",
        ),
        (
            "node ports of no node",
            json!({"proxy": {"service": {"type": "ClusterIP", "nodePorts": {"http": 30080}}}}),
            "remove it or change the type",
        ),
        (
            "a node port out of range",
            json!({"proxy": {"service": {"nodePorts": {"http": 70000}}}}),
            "less than or equal to 65535",
        ),
        (
            "an unknown proxy",
            json!({"proxy": {"implementation": "nginx"}}),
            r#"supported values: "hub-proxy", "configurable-http-proxy""#,
        ),
        (
            "two default profiles",
            json!({"singleuser": {"profiles": [
                {"slug": "a", "displayName": "A", "default": true}, {"slug": "b", "displayName": "B", "default": true},
            ]}}),
            "two of spec.singleuser.profiles have default: true",
        ),
        (
            "a default profile for a few",
            json!({"singleuser": {"profiles": [
                {"slug": "a", "displayName": "A", "default": true, "allowedGroups": ["ml"]},
            ]}}),
            "must be one that everybody may choose",
        ),
        (
            "two profiles of a name",
            json!({"singleuser": {"profiles": [{"slug": "a", "displayName": "A"}, {"slug": "a", "displayName": "B"}]}}),
            "Duplicate value",
        ),
        (
            "two default choices",
            json!({"singleuser": {"profiles": [{"slug": "a", "displayName": "A", "options": [{
                "slug": "o", "displayName": "O",
                "choices": [
                    {"slug": "x", "displayName": "X", "default": true}, {"slug": "y", "displayName": "Y", "default": true},
                ],
            }]}]}}),
            "two choices of an option have default: true",
        ),
        (
            "a link into a script",
            json!({"pages": {"links": [{"text": "Help", "url": "javascript:alert(1)"}]}}),
            "spec.pages.links[0].url",
        ),
        ("a logo of no kind", json!({"pages": {"logo": {"name": "l", "key": "logo.exe"}}}), "spec.pages.logo.key"),
        ("an unknown database", json!({"database": {"type": "excel"}}), r#"supported values: "sqlite""#),
        ("an unknown deletion policy", json!({"deletionPolicy": "Keep"}), r#"supported values: "Retain", "Delete""#),
        ("logins that nobody has", json!({"hub": {"cookieMaxAgeDays": 0}}), "greater than or equal to 1"),
        ("logins that no browser keeps", json!({"hub": {"cookieMaxAgeDays": 401}}), "spec.hub.cookieMaxAgeDays"),
        (
            "logins that may never fail",
            json!({"security": {"login": {"maxFailures": 0}}}),
            "greater than or equal to 1",
        ),
        (
            "a lockout of more than a day",
            json!({"security": {"login": {"lockoutSeconds": 86401}}}),
            "spec.security.login.lockoutSeconds",
        ),
        ("lists without entries", json!({"hub": {"apiPageMaxLimit": 0}}), "greater than or equal to 1"),
        ("a way to no address", json!({"hub": {"defaultUrl": "//example.org"}}), "spec.hub.defaultUrl"),
        (
            "a way in a circle",
            json!({"baseUrl": "/a/", "hub": {"defaultUrl": "/a/hub/"}}),
            "must not be a page that leads to spec.hub.defaultUrl itself",
        ),
        ("servers of root", json!({"singleuser": {"uid": 0}}), "greater than or equal to 1"),
        (
            "labels of ours",
            json!({"singleuser": {"extraLabels": {"component": "x"}}}),
            "the hub finds its pods by them",
        ),
        (
            "environment of ours",
            json!({"singleuser": {"extraEnv": [{"name": "JUPYTERHUB_API_TOKEN", "value": "x"}]}}),
            "the operator and the hub set them",
        ),
        (
            "environment of the proxy's",
            json!({"proxy": {"extraEnv": [{"name": "CONFIGPROXY_AUTH_TOKEN", "value": "x"}]}}),
            "the operator and the hub set them",
        ),
        (
            "more memory than the limit",
            json!({"singleuser": {"memory": {"guarantee": "2G", "limit": "1G"}}}),
            "guarantee must not exceed limit",
        ),
        (
            "more CPU than the limit",
            json!({"singleuser": {"cpu": {"guarantee": 2, "limit": "0.5"}}}),
            "guarantee must not exceed limit",
        ),
        (
            "an amount that is none",
            json!({"singleuser": {"storage": {"capacity": "lots"}}}),
            "spec.singleuser.storage.capacity",
        ),
        ("a home outside the tree", json!({"singleuser": {"storage": {"homeMountPath": "home"}}}), "^/["),
        ("no time to start", json!({"singleuser": {"startTimeout": 0}}), "greater than or equal to 1"),
        ("no command", json!({"singleuser": {"cmd": []}}), "at least 1 items"),
        (
            "a front without a program",
            json!({"singleuser": {"front": "hub-server"}}),
            "spec.singleuser.cmd is required with front",
        ),
        (
            "a front of a server that guards itself",
            json!({"singleuser": {"front": "hub-server", "cmd": ["/opt/bin/jupyterhub-singleuser", "{socket}"]}}),
            "jupyterhub-singleuser guards itself",
        ),
        (
            "a front of a program that may listen anywhere",
            json!({"singleuser": {"front": "hub-server", "cmd": ["jupyter", "server"]}}),
            "write {socket} where it takes the path",
        ),
        (
            "an unknown front",
            json!({"singleuser": {"front": "nginx", "cmd": ["p", "{port}"]}}),
            r#"supported values: "hub-server""#,
        ),
        ("a service's name that is no part of an address", service(json!({"name": "a/b"})), "it is part of an address"),
        ("a service twice", json!({"services": [{"name": "a"}, {"name": "a"}]}), "Duplicate value"),
        ("a service at no web address", service(json!({"url": "ftp://grades"})), "must be http:// or https://"),
        ("a service at a path", service(json!({"url": "http://grades:80/x"})), "without a path"),
        (
            "a service's client that may be a server's",
            service(
                json!({"url": "http://grades", "oauthClientId": "jupyterhub-user-ada", "apiTokenSecretRef": secret}),
            ),
            "must start with 'service-'",
        ),
        (
            "a service that sends people nowhere",
            service(json!({"oauthNoConfirm": true, "apiTokenSecretRef": secret})),
            "needs oauthRedirectUri",
        ),
        (
            "a service that sends people to no address",
            service(json!({"oauthRedirectUri": "javascript:x", "apiTokenSecretRef": secret})),
            "must be a path that starts with '/' or a whole http address",
        ),
        (
            "a service that logs people in without a secret",
            service(json!({"url": "http://grades", "oauthNoConfirm": true})),
            "needs apiTokenSecretRef",
        ),
        ("a role's name that is none", json!({"roles": [{"name": "My Role"}]}), "3 to 255 lower case letters"),
        ("a role twice", json!({"roles": [{"name": "abc"}, {"name": "abc"}]}), "Duplicate value"),
        (
            "other rights of administrators",
            json!({"roles": [{"name": "admin", "scopes": ["self"]}]}),
            "the role 'admin' cannot be changed",
        ),
        ("a group twice", json!({"groups": [{"name": "a"}, {"name": "a"}]}), "Duplicate value"),
        (
            "a custom scope that is called like none",
            json!({"customScopes": [{"name": "grades:read", "description": "x"}]}),
            "must be 'custom:' and then",
        ),
        (
            "a custom scope without a description",
            json!({"customScopes": [{"name": "custom:grades:read"}]}),
            "customScopes[0].description: Required value",
        ),
        (
            "a custom scope that includes others",
            json!({"customScopes": [{"name": "custom:grades:read", "description": "x", "subscopes": ["self"]}]}),
            "includes custom scopes only",
        ),
        ("a namespace that cannot be", json!({"singleuser": {"namespace": "My Users"}}), "spec.singleuser.namespace"),
    ]
}

fn good() -> Value {
    json!({"https": {"type": "external"}, "auth": {"token": {"users": [{"name": "ada"}]}}})
}

pub(super) async fn wrong_hubs_are_refused_with_a_remedy(cluster: &Cluster) -> Result<()> {
    let hubs = hubs(&cluster.client, NAMESPACE);
    let mut faults = Vec::new();
    for (what, change, remedy) in wrong().into_iter().chain(https::wrong()) {
        let mut spec = good();
        merge(&mut spec, &change);
        if let Err(fault) = expect_refusal(create(&hubs, "refused", spec).await, remedy) {
            faults.push(format!("{what}: {fault}"));
        }
    }
    for name in ["two.words", "a-name-that-is-too-long-for-what-is-made-from-it"] {
        if let Err(fault) = expect_refusal(create(&hubs, name, good()).await, "metadata.name must be at most 40") {
            faults.push(format!("name {name}: {fault}"));
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// Each token is one user's: there is no field for a token with which anybody logs in under any name.
pub(super) async fn a_token_without_a_user_is_refused(cluster: &Cluster) -> Result<()> {
    let reference = json!({"name": "s", "key": "k"});
    for (field, value) in [("value", json!("abc")), ("token", json!("abc")), ("tokenSecretRef", reference)] {
        let mut hub = serde_json::to_value(object("refused", &good()))?;
        hub["spec"]["auth"]["token"][field] = value;
        let create = ["create", "--namespace", NAMESPACE, "--dry-run=server", "--filename", "-"];
        let Err(refusal) = cluster.kubectl_with(&create, hub.to_string()).await else {
            bail!("spec.auth.token.{field} was accepted");
        };
        let words = format!("unknown field \"spec.auth.token.{field}\"");
        ensure!(format!("{refusal:#}").contains(&words), "{words} is not in: {refusal:#}");
    }
    Ok(())
}

/// Some fields can be set once only.
pub(super) async fn wrong_changes_are_refused_with_a_remedy(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("refused", async |namespace| {
            let hubs = hubs(&cluster.client, namespace);
            let mut spec = good();
            merge(&mut spec, &json!({"paused": true, "database": {"pvc": {"storage": "2Gi"}}}));
            hubs.create(&PostParams::default(), &object("changed", &spec)).await?;
            let changes = [
                (json!({"storage": "1Gi"}), "a claim can only grow"),
                (json!({"storageClassName": "other"}), "a claim keeps its class"),
            ];
            for (volume, remedy) in changes {
                let patch = Patch::Merge(json!({"spec": {"database": {"pvc": volume}}}));
                expect_refusal(hubs.patch("changed", &PatchParams::default().dry_run(), &patch).await, remedy)?;
            }
            let patch = Patch::Merge(json!({"spec": {"database": {"pvc": {"storage": "3Gi"}}}}));
            hubs.patch("changed", &PatchParams::default().dry_run(), &patch).await.context("growing is allowed")?;
            Ok(())
        })
        .await
}

pub(super) async fn good_hubs_are_accepted_and_their_gaps_filled(cluster: &Cluster) -> Result<()> {
    let hubs = hubs(&cluster.client, NAMESPACE);
    let least = create(&hubs, "least", json!({"https": {"type": "external"}, "auth": {"token": {}}})).await?;
    let defaults = [
        ("/spec/baseUrl", json!("/")),
        ("/spec/paused", json!(false)),
        ("/spec/deletionPolicy", json!("Retain")),
        ("/spec/hub/cookieMaxAgeDays", json!(14)),
        ("/spec/hub/redirectToServer", json!(true)),
        ("/spec/security/login/maxFailures", json!(10)),
        ("/spec/proxy/implementation", json!("hub-proxy")),
        ("/spec/proxy/service/type", json!("LoadBalancer")),
        ("/spec/database/type", json!("sqlite")),
        ("/spec/database/pvc/storage", json!("1Gi")),
        ("/spec/https/allowInsecure", json!(false)),
        ("/spec/auth/allowAll", json!(false)),
        ("/spec/auth/token/log", json!(true)),
        ("/spec/auth/token/users/0/name", json!("jovyan")),
        ("/spec/auth/token/users/0/admin", json!(true)),
        ("/spec/singleuser/cmd/0", json!("jupyterhub-singleuser")),
        ("/spec/singleuser/uid", json!(1000)),
        ("/spec/singleuser/storage/capacity", json!("10Gi")),
        ("/spec/singleuser/startTimeout", json!(300)),
        ("/spec/networkPolicy/enabled", json!(true)),
    ];
    let least = serde_json::to_value(&least)?;
    for (field, value) in defaults {
        ensure!(least.pointer(field) == Some(&value), "{field} is {:?}, not {value}", least.pointer(field));
    }
    let secret = json!({"name": "password", "key": "password"});
    create(
        &hubs,
        "trial",
        json!({
            "https": {"type": "none", "allowInsecure": true},
            "auth": {"dummy": {"passwordSecretRef": secret}, "allowAll": true, "blockedUsers": ["eve"]},
            "proxy": {"service": {"type": "NodePort", "nodePorts": {"http": 30081}}},
        }),
    )
    .await
    .context("a trial's Hub")?;
    create(&hubs, "large", large()).await.context("a large Hub")?;
    Ok(())
}

/// A Hub that uses what there is.
fn large() -> Value {
    let placement = json!({
        "imagePullSecrets": [{"name": "registry"}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
        "nodeSelector": {"pool": "core"},
        "tolerations": [{"key": "core", "operator": "Exists"}],
        "priorityClassName": "system-cluster-critical",
        "extraEnv": [{"name": "RUST_LOG", "value": "debug"}],
    });
    let scopes: Vec<Value> = (0..128)
        .map(|n| json!({"name": format!("custom:scope:{n}"), "description": "x", "subscopes": ["custom:scope:0"]}))
        .collect();
    let mut roles: Vec<Value> = (0..62).map(|n| json!({"name": format!("role-{n}"), "scopes": ["self"]})).collect();
    roles.push(json!({"name": "user", "scopes": ["self", "access:services!service=grades"]}));
    roles.push(json!({"name": "admin", "users": ["user-1"], "services": ["plain-1"]}));
    let mut services: Vec<Value> =
        (0..63).map(|n| json!({"name": format!("plain-{n}"), "url": "http://10.0.0.7"})).collect();
    services.push(json!({
        "name": "grades",
        "url": "https://grades.lab:8443/",
        "apiTokenSecretRef": {"name": "grades", "key": "token"},
        "oauthRedirectUri": "https://example.org/callback",
        "oauthClientId": "service-of-ours",
        "oauthClientAllowedScopes": ["custom:scope:1", "read:users!group=class"],
        "oauthNoConfirm": true,
        "display": false,
        "info": {"contact": "ada"},
    }));
    let users: Vec<Value> = (0..200).map(|n| json!({"name": format!("user-{n}")})).collect();
    json!({
        "baseUrl": "/jupyter/",
        "publicUrl": "https://example.org/jupyter/",
        "subdomainHost": "https://example.org",
        "https": {"type": "external"},
        "hub": placement,
        "proxy": placement,
        "security": {"cookieSecret": {"secretRef": {"name": "own", "key": "cookie"}}, "cookieHostPrefix": true},
        "auth": {"token": {"users": users, "log": false}, "adminUsers": ["user-1"], "blockedUsers": ["eve"]},
        "services": services,
        "roles": roles,
        "groups": [{"name": "class", "users": ["user-2"], "properties": {"year": "1"}}],
        "customScopes": scopes,
        "singleuser": {
            "image": "registry.example.org/notebook:1",
            "defaultUrl": "/lab/tree/{username}",
            "cpu": {"guarantee": "0.5", "limit": 2},
            "memory": {"guarantee": "1G", "limit": "2G"},
            "extraResources": {"limits": {"nvidia.com/gpu": 1}},
            "extraVolumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "extraVolumeMounts": [{"name": "data", "mountPath": "/data"}],
            "initContainers": [{"name": "prepare", "image": "registry.example.org/prepare:1"}],
            "extraLabels": {"team": "research"},
            "podTemplate": {"spec": {"hostname": "notebook"}},
        },
    })
}

fn hubs(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("jupyter.rs", "v1alpha1", "Hub"));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

fn object(name: &str, spec: &Value) -> DynamicObject {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("jupyter.rs", "v1alpha1", "Hub"));
    DynamicObject::new(name, &resource).data(json!({"spec": spec}))
}

/// Asks the API server what it would make of a Hub.
async fn create(hubs: &Api<DynamicObject>, name: &str, spec: Value) -> kube::Result<DynamicObject> {
    hubs.create(&PostParams { dry_run: true, ..PostParams::default() }, &object(name, &spec)).await
}

fn expect_refusal(answer: kube::Result<DynamicObject>, remedy: &str) -> Result<()> {
    match answer {
        Ok(_) => bail!("it was accepted"),
        Err(kube::Error::Api(status)) if status.code == 422 => {
            ensure!(status.message.contains(remedy), "`{remedy}` is not in: {}", status.message);
            Ok(())
        }
        Err(error) => Err(error).context("it was refused for another reason"),
    }
}

/// RFC 7396.
fn merge(target: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    if let Value::Object(fields) = target {
        for (name, value) in change {
            if value.is_null() {
                fields.remove(name);
            } else {
                merge(fields.entry(name).or_insert(Value::Null), value);
            }
        }
    }
}
