//! `hub server install`: the program puts itself into a directory, such as a volume that a user's pod shares with the
//! container that brought it.

use clap::Args;
use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// This program's own file, whatever its name and wherever it is.
const ITSELF: &str = "/proc/self/exe";
/// What it is called there.
const NAME: &str = "hub";
/// Everybody may run it, nobody change it.
const MODE: u32 = 0o555;

/// Copies this program into a directory, so that it can be started from there.
#[derive(Debug, Args)]
pub(crate) struct Install {
    /// Where it is to be; made if it is not there
    directory: PathBuf,
}

/// Why the program is not there.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} {}: {source}", .path.display())]
pub(crate) struct InstallError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Install {
    pub(crate) fn run(&self) -> Result<(), InstallError> {
        let (file, size) = install(Path::new(ITSELF), &self.directory)?;
        println!("installed {} ({size} bytes)", file.display());
        Ok(())
    }
}

/// Copies `program`: whoever looks finds nothing, or all of it. One that is there already is replaced. Gives the file and
/// its size.
fn install(program: &Path, directory: &Path) -> Result<(PathBuf, u64), InstallError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| InstallError { action, path, source }
    };
    fs::create_dir_all(directory).map_err(failed("make", directory))?;
    let mut source = File::open(program).map_err(failed("read", program))?;
    // In the same directory: only then it takes its place in one step.
    let mut copy = tempfile::NamedTempFile::new_in(directory).map_err(failed("write into", directory))?;
    let size = io::copy(&mut source, copy.as_file_mut()).map_err(failed("write", copy.path()))?;
    copy.as_file().set_permissions(Permissions::from_mode(MODE)).map_err(failed("make executable", copy.path()))?;
    let file = directory.join(NAME);
    copy.persist(&file).map_err(|error| failed("write", &file)(error.error))?;
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_copied_whole_as_often_as_asked() {
        let directory = tempfile::tempdir().unwrap();
        let (program, target) = (directory.path().join("program"), directory.path().join("new/volume"));
        for text in ["first", "second version"] {
            fs::write(&program, text).unwrap();
            let (file, size) = install(&program, &target).unwrap();
            assert_eq!((file.as_path(), size), (target.join("hub").as_path(), text.len() as u64));
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o555);
            assert_eq!(fs::read_dir(&target).unwrap().count(), 1, "nothing else is left");
        }
    }

    #[test]
    fn what_does_not_work_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let error = install(&missing, directory.path()).unwrap_err().to_string();
        assert!(error.contains("failed to read") && error.contains("missing"), "{error}");
        fs::write(&missing, "").unwrap();
        let error = install(Path::new(ITSELF), &missing).unwrap_err().to_string();
        assert!(error.contains("failed to make"), "{error}");
        let entries: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
    }

    #[test]
    fn a_copy_of_a_program_runs() {
        let directory = tempfile::tempdir().unwrap();
        let (file, _) = install(Path::new("/bin/true"), directory.path()).unwrap();
        assert!(std::process::Command::new(file).status().unwrap().success());
    }
}
