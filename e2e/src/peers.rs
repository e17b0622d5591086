//! Programs of others that tests put beside ours in the cluster: cert-manager, an ACME server, the proxy that ours stands
//! in for, and the web server that people put in front.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    digest::Key,
    docker::Docker,
    kind::Kind,
    node_image::ensure_base,
    places::Places,
    program::Program,
    progress::{Log, step, up_to_date},
    scratch::Scratch,
    tools,
};

/// The version in `tools/cert-manager/go.mod`: the last whose commands are in its module.
const CERT_MANAGER: &str = "1.11.5";
const USER: &str = "65532:65532";
/// The Dockerfile's targets, which give the images their names.
const TARGETS: [&str; 2] = ["nginx", "configurable-http-proxy"];

/// Names of the images, with the tags that their contents gave them.
#[derive(Clone, Debug)]
pub struct Peers {
    pub nginx: String,
    pub configurable_http_proxy: String,
    pub pebble: String,
    /// Pebble's own DNS server, which answers what it is told.
    pub challtestsrv: String,
    cert_manager: CertManager,
}

/// What cert-manager is installed with.
#[derive(Clone, Debug)]
struct CertManager {
    controller: String,
    webhook: String,
    cainjector: String,
    chart: PathBuf,
}

impl Peers {
    fn all(&self) -> [&str; 7] {
        let manager = &self.cert_manager;
        let images = [&self.nginx, &self.configurable_http_proxy, &self.pebble, &self.challtestsrv];
        let [nginx, chp, pebble, challtestsrv] = images.map(String::as_str);
        [nginx, chp, pebble, challtestsrv, &manager.controller, &manager.webhook, &manager.cainjector]
    }

    /// The directory of cert-manager's own chart.
    pub(crate) fn cert_manager_chart(&self) -> &Path {
        &self.cert_manager.chart
    }

    /// Values of cert-manager's chart: our images of it, its resource definitions, and nothing that asks the network.
    pub(crate) fn cert_manager_values(&self) -> Value {
        let image = |name: &str| {
            let (repository, tag) = name.rsplit_once(':').unwrap_or((name, ""));
            json!({"repository": repository, "tag": tag})
        };
        let manager = &self.cert_manager;
        json!({
            "installCRDs": true,
            "image": image(&manager.controller),
            "webhook": {"image": image(&manager.webhook)},
            "cainjector": {"image": image(&manager.cainjector)},
            "startupapicheck": {"enabled": false},
            "prometheus": {"enabled": false},
        })
    }
}

/// Makes every image that is not there yet and brings all into the node.
pub(crate) async fn ensure(places: &Places, kind: &Kind, yes: bool) -> Result<Peers> {
    let docker = &kind.docker;
    tools::ensure(places, tools::ACME).await?;
    tools::ensure(places, tools::CERT_MANAGER).await?;
    let [nginx, configurable_http_proxy] = debian_images(places, docker, yes).await?;
    let program = async |name: &str| {
        let image = Scratch::new(&format!("jupyter.rs/{name}")).program(&places.bin(name), name);
        image.user(USER).ensure(places, docker).await
    };
    let peers = Peers {
        nginx,
        configurable_http_proxy,
        pebble: program("pebble").await?,
        challtestsrv: program("pebble-challtestsrv").await?,
        cert_manager: CertManager {
            controller: program("cert-manager-controller").await?,
            webhook: program("cert-manager-webhook").await?,
            cainjector: program("cert-manager-cainjector").await?,
            chart: cert_manager_chart(places).await?,
        },
    };
    kind.load(&peers.all()).await?;
    Ok(peers)
}

/// cert-manager's chart as its release has it: in the module its version and its resource definitions are elsewhere.
async fn cert_manager_chart(places: &Places) -> Result<PathBuf> {
    let chart = places.file(&format!("charts/cert-manager-{CERT_MANAGER}/Chart.yaml"))?;
    let dir = chart.with_file_name("");
    if chart.exists() {
        return Ok(dir);
    }
    let go = Program::new("go").dir(places.source("tools/cert-manager"));
    let module = go.args(["list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager"]).output().await?;
    let deploy = PathBuf::from(module).join("deploy");
    fs::create_dir_all(dir.join("templates"))?;
    for part in ["values.yaml", "templates"] {
        let source = deploy.join("charts/cert-manager").join(part);
        Program::new("cp").args(["-r", "--no-preserve=mode"]).arg(source).arg(&dir).output().await?;
    }
    let mut definitions = String::from("{{- if .Values.installCRDs }}\n");
    for file in fs::read_dir(deploy.join("crds"))? {
        let file = file?.path();
        if file.extension().is_some_and(|extension| extension == "yaml") {
            definitions += &format!("---\n{}\n", fs::read_to_string(file)?);
        }
    }
    definitions += "{{- end }}\n";
    fs::write(dir.join("templates/crds.yaml"), definitions)?;
    let template = fs::read_to_string(deploy.join("charts/cert-manager/Chart.template.yaml"))?;
    // Written last: by it the chart is known to be whole.
    fs::write(&chart, template.replace("v0.1.0", &format!("v{CERT_MANAGER}")))?;
    Ok(dir)
}

/// The images' names, in the order of [`TARGETS`]; they are made when the Dockerfile or a locked version changed.
async fn debian_images(places: &Places, docker: &Docker, yes: bool) -> Result<[String; 2]> {
    let key = Key::default().files(&places.source("peers"))?.finish();
    let images = TARGETS.map(|target| format!("jupyter.rs/{target}:{key}"));
    let missing = docker.missing(&TARGETS, &images).await;
    if !missing.is_empty() {
        ensure_base(places, docker, yes).await?;
        step(places, "Build the images of nginx and configurable-http-proxy", async |log| {
            build(places, docker, &missing, log).await
        })
        .await?;
    }
    Ok(images)
}

async fn build(places: &Places, docker: &Docker, images: &[(&str, &str)], log: &Log) -> Result<()> {
    let context = places.fresh("peers-context")?;
    download(places, &context, log).await?;
    for (target, image) in images {
        docker.build(log, &context, &["--target", target, "-t", image]).await?;
    }
    fs::remove_dir_all(&context)?;
    Ok(())
}

/// Node.js and configurable-http-proxy's script, to be run on this machine.
pub(crate) async fn configurable_http_proxy(places: &Places) -> Result<[PathBuf; 2]> {
    let packages = node_packages(places).await?;
    Ok([packages.join("node"), packages.join("node_modules/.bin/configurable-http-proxy")])
}

/// A directory with Node.js (`node`), `oidc-provider.mjs` and the packages that programs in it need; it is downloaded when a
/// locked version changed.
pub(crate) async fn node_packages(places: &Places) -> Result<PathBuf> {
    let key = Key::default().files(&places.source("peers"))?.finish();
    let whole = places.file(&format!("peers/{key}"))?;
    let title = "configurable-http-proxy and oidc-provider";
    if whole.exists() {
        up_to_date(title);
    } else {
        step(places, title, async |log| {
            let dir = places.fresh("peers-download")?;
            download(places, &dir, log).await?;
            Ok(fs::rename(dir, &whole)?)
        })
        .await?;
    }
    Ok(whole)
}

/// Brings what `peers/` has and names into a directory: `node_modules`, and Node.js beside it as `node`.
async fn download(places: &Places, dir: &Path, log: &Log) -> Result<()> {
    for file in fs::read_dir(places.source("peers"))? {
        let file = file?;
        fs::copy(file.path(), dir.join(file.file_name()))?;
    }
    Program::new("npm")
        .dir(dir)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .logged(log)
        .await
        .context("failed to download Node.js packages; is npm there (`apt-get install -y npm`), and its registry?")?;
    let node = fs::read_dir(dir.join("node_modules"))?.filter_map(|entry| Some(entry.ok()?.path()));
    let (node, others): (Vec<_>, Vec<_>) = node
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("node-linux-")))
        .partition(|path| path.join("bin/node").exists());
    let own = node.first().context("npm has no Node.js for this machine: it has them for x86_64 and aarch64")?;
    fs::copy(own.join("bin/node"), dir.join("node"))?;
    for package in node.iter().chain(&others) {
        fs::remove_dir_all(package)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charts_version_is_the_one_of_the_pinned_programs() {
        let places = Places::find().unwrap();
        let pins = fs::read_to_string(places.source("tools/cert-manager/go.mod")).unwrap();
        let pin = format!("github.com/cert-manager/cert-manager v{CERT_MANAGER} // indirect\n");
        assert!(pins.contains(&pin), "CERT_MANAGER differs from tools/cert-manager/go.mod");
    }
}
