//! Opens the browser with the launch token, through a private file that redirects: a command line can be read by every
//! user of the machine (S10).

use askama::Template;
use std::{env, ffi::OsString, path::Path, process::Stdio};
use tokio::process::Command;

/// A page that leads to the server.
#[derive(Template)]
#[template(path = "open.html")]
struct OpenPage<'a> {
    url: &'a str,
}

/// The page that redirects to an address with the launch token.
///
/// # Errors
/// None in practice: the template has no part that can fail.
pub(crate) fn open_page(url: &str) -> anyhow::Result<String> {
    Ok(OpenPage { url }.render()?)
}

/// Starts the browser on a file: `asked` if the settings name a command, or what `BROWSER` names, or what the desktop
/// opens such files with. In a command `%s` stands for the address. Nobody waits for it.
///
/// # Errors
/// There is none that can be started.
pub(crate) fn open(asked: Option<&str>, file: &Path) -> anyhow::Result<()> {
    let url = url::Url::from_file_path(file).map_err(|()| anyhow::anyhow!("{} is no absolute path", file.display()))?;
    let variable = env::var("BROWSER").ok();
    let candidates = match asked.or(variable.as_deref()).filter(|text| !text.is_empty()) {
        // As Python's webbrowser has it, several are tried in turn.
        Some(text) => text.split(':').map(str::to_owned).collect(),
        None if cfg!(target_os = "macos") => vec!["open".to_owned()],
        None => ["xdg-open", "gio open", "x-www-browser", "firefox", "chromium"].map(str::to_owned).to_vec(),
    };
    for candidate in &candidates {
        if start(candidate, url.as_str()) {
            return Ok(());
        }
    }
    anyhow::bail!("no web browser could be started (tried {}); name one in BROWSER", candidates.join(", "))
}

fn start(command: &str, url: &str) -> bool {
    let mut words: Vec<OsString> = command.split_whitespace().map(|word| word.replace("%s", url).into()).collect();
    if !command.contains("%s") {
        words.push(url.into());
    }
    let [program, arguments @ ..] = words.as_slice() else { return false };
    let mut process = Command::new(program);
    process.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    process.spawn().is_ok()
}
