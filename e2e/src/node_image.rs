//! The image of kind's nodes: kind's own where it can be pulled, elsewhere one that is built from Debian's packages and
//! the pinned Go modules. Every stage has a key or Docker's cache, so a build that was broken off goes on.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};

use crate::{
    daemon,
    digest::Key,
    docker::Docker,
    packages,
    places::Places,
    program::Program,
    progress::{Log, step, up_to_date},
    scratch::Scratch,
    tools::{self, KUBERNETES},
};

/// kind's own image for the Kubernetes minor version of the pinned modules, published with kind 0.31 and later.
const STOCK: &str = "kindest/node:v1.34.3@sha256:08497ee19eace7b4b5348db5c6a1591d7752b164530a36f855cb0f2bdcbadd48";
/// What Dockerfiles here start from.
pub(crate) const BASE: &str = "debian:bookworm-slim";
/// How long it is believed that no registry can be reached.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// What a node is started from.
#[derive(Clone, Debug)]
pub(crate) struct NodeImage {
    pub(crate) name: String,
    /// Built here: its kubelet manages cgroups itself.
    pub(crate) built_here: bool,
}

/// The node's image, made if need be.
pub(crate) async fn ensure(places: &Places, docker: &Docker, yes: bool) -> Result<NodeImage> {
    if docker.has_image(STOCK).await || registry_answers(places, docker).await? {
        if !docker.has_image(STOCK).await {
            step(places, "Pull kind's node image", async |log| docker.command(["pull", STOCK]).logged(log).await)
                .await?;
        }
        return Ok(NodeImage { name: STOCK.to_owned(), built_here: false });
    }
    let name = format!("hub-e2e/node:v{KUBERNETES}-{}", node_key(places)?);
    if docker.has_image(&name).await {
        up_to_date("Node image, built here since no registry can be reached");
        return Ok(NodeImage { name, built_here: true });
    }
    tools::ensure(places, tools::NODE).await?;
    ensure_base(places, docker, yes).await?;
    step(places, "Build the node image", async |log| build(places, docker, &name, log).await).await?;
    Ok(NodeImage { name, built_here: true })
}

/// The base of Dockerfiles: pulled, or made from Debian's packages.
pub(crate) async fn ensure_base(places: &Places, docker: &Docker, yes: bool) -> Result<()> {
    if docker.has_image(BASE).await {
        return Ok(());
    }
    if registry_answers(places, docker).await? {
        return step(places, "Pull the Debian base image", async |log| {
            docker.command(["pull", BASE]).logged(log).await
        })
        .await;
    }
    packages::ensure(places, yes, packages::NO_REGISTRY).await?;
    step(places, "Make a Debian base image with debootstrap", async |log| {
        let root = places.fresh("debootstrap/root")?;
        let packages = places.file("debootstrap/packages/none")?.with_file_name("");
        Program::new("debootstrap")
            .args(["--variant=minbase", "--include=ca-certificates"])
            .arg(format!("--cache-dir={}", packages.display()))
            .arg("bookworm")
            .arg(&root)
            .arg(debian_mirror())
            .logged(log)
            .await?;
        let tar = Program::new("tar").arg("-cC").arg(&root).args(["--exclude=./var/cache/apt/archives/*.deb", "."]);
        tar.pipe_into(docker.command(["import", "--change", "CMD [\"bash\"]", "-", BASE])).await?;
        fs::remove_dir_all(root).context("failed to remove debootstrap's directory")
    })
    .await
}

/// Whether a registry can be reached. "No" is remembered, since finding it out can take a while.
async fn registry_answers(places: &Places, docker: &Docker) -> Result<bool> {
    let no = places.file("no-registry")?;
    let remembered = fs::metadata(&no).and_then(|file| file.modified()).ok();
    if remembered.and_then(|then| SystemTime::now().duration_since(then).ok()).is_some_and(|age| age < REMEMBERED) {
        return Ok(false);
    }
    let answers = step(places, "Ask whether images can be pulled", async |_| Ok(docker.can_pull().await)).await?;
    if answers {
        let _ = fs::remove_file(&no);
    } else {
        eprintln!("    they cannot: images are built from packages ({} remembers it for a day)", no.display());
        fs::write(&no, "")?;
    }
    Ok(answers)
}

fn node_key(places: &Places) -> Result<String> {
    let key = Key::default().text(&tools::node_key(places)?).files(&places.source("node"))?;
    Ok(key.finish())
}

async fn build(places: &Places, docker: &Docker, name: &str, log: &Log) -> Result<()> {
    let context = places.fresh("node-context")?;
    for file in fs::read_dir(places.source("node"))? {
        let file = file?;
        fs::copy(file.path(), context.join(file.file_name()))?;
    }
    for program in ["kubelet", "kubeadm", "kubectl", "kube-proxy"] {
        fs::hard_link(places.bin(program), context.join(program))
            .or_else(|_| fs::copy(places.bin(program), context.join(program)).map(|_| ()))?;
    }
    let version = format!("KUBERNETES_VERSION=v{KUBERNETES}");
    let kube_proxy = format!("registry.k8s.io/kube-proxy:v{KUBERNETES}");
    docker.build(log, &context, &["--target", "kube-proxy", "-t", &kube_proxy]).await?;
    docker
        .build(log, &context, &["--target", "node", "--build-arg", &version, "-t", "hub-e2e/node-without-images"])
        .await?;
    fs::remove_dir_all(&context)?;

    let mut images = component_images(places, docker).await?;
    images.extend([kube_proxy, BASE.to_owned()]);
    put_images_in(docker, &images, name).await
}

/// The control plane's images, under the names that kubeadm and the node's manifests ask for.
async fn component_images(places: &Places, docker: &Docker) -> Result<Vec<String>> {
    let pause = daemon::pause_program(places).await?;
    let kubernetes = format!("v{KUBERNETES}");
    let components: &[(&Path, &str, &str)] = &[
        (&pause, "registry.k8s.io/pause", "3.10"),
        (&places.bin("kube-apiserver"), "registry.k8s.io/kube-apiserver", &kubernetes),
        (&places.bin("kube-controller-manager"), "registry.k8s.io/kube-controller-manager", &kubernetes),
        (&places.bin("kube-scheduler"), "registry.k8s.io/kube-scheduler", &kubernetes),
        (&places.bin("etcd"), "registry.k8s.io/etcd", "3.6.5-0"),
        (&places.bin("coredns"), "registry.k8s.io/coredns/coredns", "v1.12.1"),
        (&places.bin("local-path-provisioner"), "rancher/local-path-provisioner", "v0.0.30"),
    ];
    let mut names = Vec::new();
    for (program, repository, tag) in components {
        let binary = repository.rsplit('/').next().unwrap_or(repository);
        let made = Scratch::new(&format!("hub-e2e/{binary}")).program(program, binary).ensure(places, docker).await?;
        let wanted = format!("{repository}:{tag}");
        docker.output(["tag", &made, &wanted]).await?;
        names.push(wanted);
    }
    Ok(names)
}

/// Brings images into the node's containerd and keeps the result as an image.
async fn put_images_in(docker: &Docker, images: &[String], name: &str) -> Result<()> {
    const BUILDER: &str = "hub-e2e-node-build";
    let _ = docker.output(["rm", "-f", BUILDER]).await;
    docker
        .output([
            "run",
            "-d",
            "--name",
            BUILDER,
            "--privileged",
            "--entrypoint",
            "sleep",
            "hub-e2e/node-without-images",
            "infinity",
        ])
        .await?;
    docker.output(["exec", "-d", BUILDER, "containerd"]).await?;
    docker
        .output([
            "exec",
            BUILDER,
            "sh",
            "-c",
            "for i in $(seq 100); do ctr version >/dev/null 2>&1 && exit; sleep 0.1; done; exit 1",
        ])
        .await
        .context("containerd did not come up in the node that is built")?;
    // Unpacked layers would be an overlay on an overlay: the node unpacks what it uses.
    let import = ["exec", "-i", BUILDER, "ctr", "-n", "k8s.io", "images", "import", "--no-unpack", "-"];
    docker.command(["save"]).args(images).pipe_into(docker.command(import)).await?;
    docker
        .output([
            "exec",
            BUILDER,
            "sh",
            "-c",
            "pkill -x containerd; while pgrep -x containerd; do sleep 0.1; done; rm -rf /run/containerd",
        ])
        .await?;
    docker
        .output([
            "commit",
            "--change",
            "ENTRYPOINT [\"/usr/local/bin/entrypoint\", \"/sbin/init\"]",
            "--change",
            "CMD []",
            BUILDER,
            name,
        ])
        .await?;
    docker.output(["rm", "-f", BUILDER]).await?;
    Ok(())
}

/// The mirror that this machine's apt uses for Debian 12, or Debian's own.
fn debian_mirror() -> String {
    let lists = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    lists
        .chain([Path::new("/etc/apt/sources.list").to_owned()])
        .filter_map(|file| mirror_in(&fs::read_to_string(file).ok()?))
        .next()
        .unwrap_or_else(|| "http://deb.debian.org/debian".to_owned())
}

/// The archive of suite `bookworm` in a list of either format.
fn mirror_in(list: &str) -> Option<String> {
    let lines = list.lines().filter(|line| !line.trim_start().starts_with('#'));
    for line in lines.clone() {
        let words: Vec<&str> =
            line.split_whitespace().filter(|word| !word.starts_with('[') && !word.ends_with(']')).collect();
        if let ["deb", address, "bookworm", ..] = words[..] {
            return Some(address.to_owned());
        }
    }
    let mut address = None;
    for line in lines {
        match line.split_once(':') {
            Some(("Types", _)) => address = None,
            Some(("URIs", value)) => address = value.split_whitespace().next(),
            Some(("Suites", value)) if value.split_whitespace().any(|suite| suite == "bookworm") => {
                return address.map(str::to_owned);
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_archive_and_not_the_security_one() {
        let deb822 = "Types: deb\n# note\nURIs: http://m/debian-security\nSuites: bookworm-security\n\nTypes: deb\nURIs: http://m/debian\nSuites: bookworm bookworm-updates\n";
        assert_eq!(mirror_in(deb822).as_deref(), Some("http://m/debian"));
        let lines = "# deb http://old/debian bookworm main\ndeb http://m/sec bookworm-security main\ndeb [signed-by=/k] http://m/debian bookworm main\n";
        assert_eq!(mirror_in(lines).as_deref(), Some("http://m/debian"));
        assert_eq!(mirror_in("Types: deb\nURIs: http://x\nSuites: nodistro\n"), None);
    }
}
