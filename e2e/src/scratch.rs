//! Images that start `FROM scratch`: a static program and the few files that it needs.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{digest::Key, docker::Docker, places::Places, program::Program, progress::up_to_date};

/// Part of the key of every image: change it with the way in which they are made.
const FORMAT: &str = "scratch-1";

/// An image to be made. Its tag is the key of its content: an image that exists is never made again, and pods of an image
/// that did not change are not restarted.
pub(crate) struct Scratch {
    repository: String,
    files: Vec<(PathBuf, String, u32)>,
    entrypoint: String,
    user: Option<&'static str>,
    platform: Option<String>,
}

impl Scratch {
    pub(crate) fn new(repository: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            files: Vec::new(),
            entrypoint: String::new(),
            user: None,
            platform: None,
        }
    }

    /// The program that the image starts, below `/usr/local/bin`.
    pub(crate) fn program(mut self, source: &Path, name: &str) -> Self {
        self.entrypoint = format!("/usr/local/bin/{name}");
        self.files.push((source.to_owned(), self.entrypoint.clone(), 0o755));
        self
    }

    pub(crate) fn file(mut self, source: &Path, target: &str) -> Self {
        self.files.push((source.to_owned(), target.to_owned(), 0o644));
        self
    }

    /// User and group, as numbers: `runAsNonRoot` cannot judge names.
    pub(crate) fn user(mut self, user: &'static str) -> Self {
        self.user = Some(user);
        self
    }

    /// Another platform than this machine's, such as `linux/arm64`.
    pub(crate) fn platform(mut self, platform: Option<String>) -> Self {
        self.platform = platform;
        self
    }

    fn name(&self) -> Result<String> {
        let mut key = Key::default()
            .text(FORMAT)
            .text(self.user.unwrap_or_default())
            .text(self.platform.as_deref().unwrap_or_default());
        for (source, target, _) in &self.files {
            key = key.text(target).files(source)?;
        }
        Ok(format!("{}:{}", self.repository, key.finish()))
    }

    /// The image's name; it is made unless it exists.
    pub(crate) async fn ensure(self, places: &Places, docker: &Docker) -> Result<String> {
        let image = self.name()?;
        if docker.has_image(&image).await {
            up_to_date(&format!("Image {image}"));
            return Ok(image);
        }
        let work = tempfile::tempdir_in(&places.cache)?;
        let root = work.path().join("root");
        for (source, target, mode) in &self.files {
            let target = root.join(target.trim_start_matches('/'));
            fs::create_dir_all(target.parent().context("a path in an image has a directory")?)?;
            fs::copy(source, &target).with_context(|| format!("failed to copy {}", source.display()))?;
            fs::set_permissions(&target, Permissions::from_mode(*mode))?;
        }
        fs::create_dir(root.join("tmp"))?;
        fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777))?;
        fs::set_permissions(&root, Permissions::from_mode(0o755))?;

        // The layer is the same wherever and whenever it is made.
        let tar = Program::new("tar")
            .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-cC"])
            .arg(&root)
            .arg(".");
        tar.pipe_into(self.import(docker, &image)).await?;
        eprintln!("✓ Image {image}  made");
        Ok(image)
    }

    fn import(&self, docker: &Docker, image: &str) -> Program {
        let mut import = docker.command(["import"]);
        let user = self.user.map(|user| format!("USER {user}"));
        let changes = ["ENV PATH=/usr/local/bin".to_owned(), format!("ENTRYPOINT [\"{}\"]", self.entrypoint)]
            .into_iter()
            .chain(user);
        for change in changes {
            import = import.args(["--change", &change]);
        }
        if let Some(platform) = &self.platform {
            import = import.args(["--platform", platform]);
        }
        import.args(["-", image])
    }
}
