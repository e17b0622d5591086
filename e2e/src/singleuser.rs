//! The images of users' servers: real JupyterHub and JupyterLab from PyPI, at locked versions, on Debian's Python; the
//! same without JupyterHub; and one with nothing but static programs.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    digest::Key,
    docker::Docker,
    node_image::ensure_base,
    places::Places,
    program::Program,
    progress::{Log, step},
};

/// The Dockerfile's targets, which give the images their names.
const TARGETS: [&str; 3] = ["singleuser", "jupyter", "busybox"];
/// Debian 12's Python: wheels are chosen for it, whatever Python this machine has.
const PYTHON: &str = "3.11.2";

/// The images' names, in the order of [`TARGETS`]; they are made when the Dockerfile or a locked version changed.
pub(crate) async fn ensure(places: &Places, docker: &Docker, yes: bool) -> Result<[String; 3]> {
    let key = Key::default().text(PYTHON).files(&places.source("singleuser"))?.finish();
    let images = TARGETS.map(|target| format!("jupyter.rs/{target}:{key}"));
    let missing = docker.missing(&TARGETS, &images).await;
    if !missing.is_empty() {
        ensure_base(places, docker, yes).await?;
        step(places, "Build the single-user images", async |log| build(places, docker, &missing, log).await).await?;
    }
    Ok(images)
}

async fn build(places: &Places, docker: &Docker, images: &[(&str, &str)], log: &Log) -> Result<()> {
    let context = places.fresh("singleuser-context")?;
    let source = places.source("singleuser");
    for file in fs::read_dir(&source)? {
        let file = file?;
        fs::copy(file.path(), context.join(file.file_name()))?;
    }
    let wheels = places.file("wheels/none")?.with_file_name("");
    let used = context.join("wheels");
    // What the cache has is not fetched again; only what is locked goes into the image.
    Program::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"])
        .args(["--python-version", PYTHON, "--find-links"])
        .arg(&wheels)
        .arg("--dest")
        .arg(&used)
        .arg("--requirement")
        .arg(source.join("requirements.txt"))
        .logged(log)
        .await
        .context(
            "failed to download wheels; is pip there (`apt-get install -y python3-pip`) and can it reach its index?",
        )?;
    for wheel in fs::read_dir(&used)? {
        let wheel = wheel?;
        fs::copy(wheel.path(), wheels.join(wheel.file_name()))?;
    }
    for (target, image) in images {
        docker.build(log, &context, &["--target", target, "-t", image]).await?;
    }
    fs::remove_dir_all(&context)?;
    Ok(())
}
