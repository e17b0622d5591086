//! The single-user image: real JupyterHub and JupyterLab from PyPI, at locked versions, on Debian's Python.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    digest::Key,
    docker::Docker,
    node_image::ensure_base,
    places::Places,
    program::Program,
    progress::{Log, step, up_to_date},
};

const REPOSITORY: &str = "jupyter.rs/singleuser";
/// Debian 12's Python: wheels are chosen for it, whatever Python this machine has.
const PYTHON: &str = "3.11.2";

/// The image's name; it is made when the Dockerfile or a locked version changed.
pub(crate) async fn ensure(places: &Places, docker: &Docker, yes: bool) -> Result<String> {
    let source = places.source("singleuser");
    let image = format!("{REPOSITORY}:{}", Key::default().text(PYTHON).files(&source)?.finish());
    if docker.has_image(&image).await {
        up_to_date(&format!("Image {image}"));
        return Ok(image);
    }
    ensure_base(places, docker, yes).await?;
    step(places, "Build the single-user image", async |log| build(places, docker, &image, log).await).await?;
    Ok(image)
}

async fn build(places: &Places, docker: &Docker, image: &str, log: &Log) -> Result<()> {
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
    docker.build(log, &context, &["-t", image]).await?;
    fs::remove_dir_all(&context)?;
    Ok(())
}
