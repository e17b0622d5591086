//! Others' judgement: sslyze, by Mozilla's profiles; and real single-user servers behind TLS.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use cookie::Cookie;
use hub_crds::names::{label, label_value};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use serde_json::json;
use tempfile::NamedTempFile;

use super::Site;
use crate::{
    cluster::Cluster,
    environments,
    suite::{hubs, tls::Authority},
};

/// Until a pod of the proxy has ended.
const GONE: Duration = Duration::from_secs(60);

/// Row 64: as it is by default the proxy has Mozilla's intermediate profile, and the modern one with TLS 1.3 alone.
pub(in crate::suite) async fn sslyze_passes_the_proxy_by_both_profiles_row_64(cluster: &Cluster) -> Result<()> {
    let sslyze = environments::sslyze(&cluster.places).await?;
    cluster
        .with_temp_ns("sslyze", async |namespace| {
            let (site, root) = (Site::new(cluster, namespace, "judged").await?, Authority::root("e2e root")?);
            let leaf = root.issue(&site.host)?;
            site.put_secret("given", &[("tls.crt", &leaf.certificate), ("tls.key", &leaf.key)]).await?;
            let trusted = NamedTempFile::new()?;
            fs::write(&trusted, root.pem())?;
            let target = format!("{}:{}{{{}}}", site.host, site.https_port, site.https().ip());
            let pods: Api<Pod> = cluster.api(namespace);
            let of_proxy = ListParams::default().labels(&format!("{}={}", label::COMPONENT, label_value::PROXY));
            for (version, profile) in [("TLSv1.2", "intermediate"), ("TLSv1.3", "modern")] {
                let https = json!({"type": "secret", "secret": {"name": "given"}, "minVersion": version});
                site.place.apply(site.spec(&https)).await?;
                site.await_ready(&root.pem()).await?;
                // The pod of before serves for some seconds more.
                let is_alone = async || {
                    let pods = pods.list(&of_proxy).await?.items.len();
                    ensure!(pods == 1, "there are {pods}");
                    Ok(())
                };
                cluster.eventually("the last pod of the proxy to be gone", GONE, is_alone).await?;
                let judged = sslyze.program("sslyze").args(["--certinfo", "--certinfo_ca_file"]).arg(trusted.path());
                let judged = judged.args([&format!("--mozilla_config={profile}"), &target]);
                judged.output().await.with_context(|| format!("sslyze's profile {profile}"))?;
            }
            Ok(())
        })
        .await
}

/// JupyterHub's own single-user server works over TLS where the hub's cookies are named with `__Host-`.
pub(in crate::suite) async fn a_real_server_works_over_tls_with_host_prefixed_cookies(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("prefixed", async |namespace| {
            let (site, root) = (Site::new(cluster, namespace, "prefixed").await?, Authority::root("e2e root")?);
            let leaf = root.issue(&site.host)?;
            site.put_secret("given", &[("tls.crt", &leaf.certificate), ("tls.key", &leaf.key)]).await?;
            let mut spec = site.spec(&json!({"type": "secret", "secret": {"name": "given"}}));
            spec["security"] = json!({"cookieHostPrefix": true});
            spec["singleuser"] = hubs::spec(cluster)["singleuser"].clone();
            spec["singleuser"]["storage"] = json!({"type": "none"});
            site.place.apply(spec).await?;
            site.await_ready(&root.pem()).await?;
            let ada = site.ada(&root.pem()).await?;
            ada.start_server().await?;
            ada.open_lab().await?;
            {
                let jar = ada.jar();
                let of_login: Vec<_> = jar.names().into_iter().filter(|(name, _)| name.contains("hub-login")).collect();
                ensure!(of_login == [("__Host-jupyterhub-hub-login", "/")], "the login's cookie is {of_login:?}");
                // The real server has no way to be told so of the token of its own forms, which opens nothing by itself.
                let is_servers_form = |it: &Cookie<'_>| it.name() == "_xsrf" && it.path() == Some("/user/ada/");
                let open = jar.all_received().iter().filter(|it| it.secure() != Some(true) && !is_servers_form(it));
                let open: Vec<_> = open.map(Cookie::name).collect();
                ensure!(open.is_empty(), "cookies that would be sent without TLS: {open:?}");
            }
            let kernel = ada.start_kernel().await?;
            let answer = ada.connect(&kernel).await?.run("6*7").await?;
            ensure!(answer == "42", "6*7 is {answer}");
            ada.log_out().await?;
            let answer = ada.visit("/user/ada/lab").await?;
            ensure!(answer.path() == "/hub/login", "after logout the server's page leads to {}", answer.url);
            Ok(())
        })
        .await
}
