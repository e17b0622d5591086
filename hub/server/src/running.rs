//! Which servers run: each notes itself in Jupyter's runtime directory, as `jupyter server` does, so that either lists
//! the other's (S14).

use hub_auth::next_url::with_query;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process,
};
use tempfile::NamedTempFile;

/// What a server says of itself, in the order in which Jupyter writes it. What another version adds is kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct ServerInfo {
    pub base_url: String,
    #[serde(default)]
    pub hostname: String,
    #[serde(default)]
    pub password: bool,
    /// `None` if it is on another machine.
    pub pid: Option<i32>,
    #[serde(default)]
    pub port: u16,
    pub root_dir: String,
    #[serde(default)]
    pub secure: bool,
    /// A Unix socket, if it listens on one.
    #[serde(default)]
    pub sock: String,
    /// Empty if it has none (S17).
    #[serde(default)]
    pub token: String,
    pub url: String,
    #[serde(default)]
    pub version: String,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ServerInfo {
    /// `http://localhost:8888/?token=abc... :: /home/you/notebooks`
    pub(crate) fn line(&self) -> String {
        let url = if self.token.is_empty() { self.url.clone() } else { with_query(&self.url, "token", &self.token) };
        format!("{url} :: {}", self.root_dir)
    }
}

/// The files by which this process is known; they go when this is dropped.
#[derive(Debug)]
pub(crate) struct Note {
    info: PathBuf,
    open: PathBuf,
}

impl Note {
    /// Writes what this server says of itself.
    ///
    /// # Errors
    /// The runtime directory can't be written.
    pub(crate) fn write(runtime_dir: &Path, info: &ServerInfo) -> io::Result<Self> {
        make_private_dir(runtime_dir)?;
        let file = |ending| runtime_dir.join(format!("jpserver-{}{ending}", process::id()));
        let note = Self { info: file(".json"), open: file("-open.html") };
        write_private(&note.info, &serde_json::to_vec_pretty(info)?)?;
        Ok(note)
    }

    /// Writes the file that a browser is to open.
    ///
    /// # Errors
    /// The runtime directory can't be written.
    pub(crate) fn write_open_file(&self, html: &str) -> io::Result<&Path> {
        write_private(&self.open, html.as_bytes())?;
        Ok(&self.open)
    }

    /// Takes away the file for the browser: what it holds is spent.
    pub(crate) fn remove_open_file(&self) {
        let _ = fs::remove_file(&self.open);
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.info);
        self.remove_open_file();
    }
}

/// Makes a directory for its owner only, if it is not there.
///
/// # Errors
/// It can't be made.
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Writes a file that only its owner can read, whole or not at all.
///
/// # Errors
/// The directory can't be written.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    // A name that nobody else could have taken before, and mode 0600.
    let mut file = NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The servers of this user that run, by file name. The files of dead ones are removed, those that are being written
/// passed over.
///
/// # Errors
/// The directory is there and can't be read.
pub(crate) fn list(runtime_dir: &Path) -> io::Result<Vec<ServerInfo>> {
    let entries = match fs::read_dir(runtime_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_info(path)).collect();
    files.sort();
    Ok(files.iter().filter_map(|file| read(file)).collect())
}

fn is_info(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("jpserver-") && name.ends_with(".json")
}

fn read(file: &Path) -> Option<ServerInfo> {
    let info: ServerInfo = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    if info.pid.is_some_and(is_alive) {
        return Some(info);
    }
    let _ = fs::remove_file(file);
    None
}

/// Whether there is a process of that number, also of another user's.
pub(crate) fn is_alive(pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 0) else { return false };
    !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

/// Forgets the note of the program behind the front, a Jupyter of its own: nobody else reaches its socket.
pub(crate) fn forget_behind(runtime_dir: &Path, socket: &Path) {
    let Ok(entries) = fs::read_dir(runtime_dir) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_info(path)) {
        let info = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<ServerInfo>(&bytes).ok());
        if info.is_some_and(|info| Path::new(&info.sock) == socket) {
            let _ = fs::remove_file(path.with_file_name(open_file_name(&path)));
            let _ = fs::remove_file(path);
        }
    }
}

fn open_file_name(info: &Path) -> String {
    format!("{}-open.html", info.file_stem().unwrap_or_default().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn info(pid: i32, token: &str) -> ServerInfo {
        let [url, root_dir] = ["http://localhost:8888/", "/home/you/notebooks"].map(str::to_owned);
        ServerInfo { url, root_dir, pid: Some(pid), token: token.to_owned(), ..ServerInfo::default() }
    }

    fn own_pid() -> i32 {
        i32::try_from(process::id()).unwrap()
    }

    #[test]
    fn a_line_shows_the_token_if_there_is_one_s14_s15_s17() {
        assert_eq!(info(1, "abc").line(), "http://localhost:8888/?token=abc :: /home/you/notebooks");
        assert_eq!(info(1, "").line(), "http://localhost:8888/ :: /home/you/notebooks");
    }

    #[test]
    fn running_servers_are_listed_and_dead_ones_dropped_s14() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = dir.path().join("runtime");
        assert!(list(&runtime).unwrap().is_empty());
        let note = Note::write(&runtime, &info(own_pid(), "abc")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&runtime), mode(&note.info)), (0o700, 0o600));
        assert_eq!(mode(note.write_open_file("<html>").unwrap()), 0o600);
        let dead = runtime.join("jpserver-dead.json");
        // Larger than any number that Linux gives to a process.
        fs::write(&dead, serde_json::to_vec(&info(1 << 29, "x")).unwrap()).unwrap();
        fs::write(runtime.join("jpserver-half.json"), "{\"pid\":").unwrap();
        fs::write(runtime.join("kernel-1.json"), "{}").unwrap();
        assert_eq!(list(&runtime).unwrap(), [info(own_pid(), "abc")]);
        assert!(!dead.exists() && runtime.join("jpserver-half.json").exists());
        drop(note);
        assert!(list(&runtime).unwrap().is_empty());
        assert_eq!(fs::read_dir(&runtime).unwrap().count(), 2, "only what others wrote is left");
    }
}
