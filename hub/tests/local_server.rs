//! `hub local` as a person uses it, with the real `jupyterhub-singleuser`: login by the printed address, a server, the
//! OAuth round into JupyterLab, a stop, and the end.
//!
//! Runs where `HUB_TEST_SINGLEUSER` is the path of a `jupyterhub-singleuser` (`pip install jupyterhub jupyterlab`).

use reqwest::{Client, StatusCode, Url, header};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

/// A hub that runs, and the address that it printed.
struct Hub {
    process: Child,
    login: Url,
}

impl Hub {
    /// Starts the program itself in a directory of the test's own.
    async fn start(singleuser: &Path, directory: &Path) -> Self {
        let programs = [singleuser.parent().unwrap().to_owned(), PathBuf::from("/usr/bin"), PathBuf::from("/bin")];
        let started = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_hub"))
            .args(["local", "--port", "0", "--user", "alice", "--data-dir"])
            .arg(directory.join("data"))
            .current_dir(directory)
            .env("PATH", env::join_paths(programs).unwrap())
            .env("HOME", directory)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let login = loop {
            let line = timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap();
            if let Ok(url) = line.expect("the address comes before the end").trim().parse::<Url>() {
                break url;
            }
        };
        println!("ready after {} ms", started.elapsed().as_millis());
        Self { process, login }
    }

    fn at(&self, path: &str) -> Url {
        self.login.join(path).unwrap()
    }

    fn token(&self) -> String {
        self.login.query_pairs().find(|(key, _)| key == "token").unwrap().1.into_owned()
    }

    async fn user(&self, client: &Client) -> Value {
        let request = client.get(self.at("/hub/api/users/alice"));
        let response = request.header(header::AUTHORIZATION, format!("token {}", self.token())).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_person_lands_in_jupyterlab_and_everything_ends_with_the_hub() {
    let Some(singleuser) = env::var_os("HUB_TEST_SINGLEUSER").map(PathBuf::from) else {
        println!("skipped: HUB_TEST_SINGLEUSER names no jupyterhub-singleuser");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let mut hub = Hub::start(&singleuser, directory.path()).await;
    let (api, browser) = (Client::new(), Client::builder().cookie_store(true).build().unwrap());
    let authorization = format!("token {}", hub.token());

    let landed = browser.get(hub.login.clone()).send().await.unwrap();
    assert!(landed.status().is_success(), "{landed:?}");
    assert!(landed.url().query().is_none_or(|query| !query.contains("token")), "the token stays in {}", landed.url());

    // The login may have started the server already.
    let server = hub.at("/hub/api/users/alice/server");
    let start = api.post(server.clone()).header(header::AUTHORIZATION, &authorization).send().await.unwrap();
    assert!(
        [StatusCode::CREATED, StatusCode::ACCEPTED, StatusCode::BAD_REQUEST].contains(&start.status()),
        "{start:?}"
    );
    let progress =
        api.get(hub.at("/hub/api/users/alice/server/progress")).header(header::AUTHORIZATION, &authorization);
    let progress =
        timeout(Duration::from_secs(90), async { progress.send().await.unwrap().text().await.unwrap() }).await;
    let progress = progress.expect("the progress stream ends");
    assert!(progress.contains("\"ready\":true"), "{progress}");

    let lab = browser.get(hub.at("/user/alice/lab")).send().await.unwrap();
    assert_eq!((lab.status(), lab.url().path()), (StatusCode::OK, "/user/alice/lab"));
    assert!(lab.text().await.unwrap().contains("JupyterLab"));
    let stranger = api.get(hub.at("/user/alice/api/status")).send().await.unwrap();
    assert_eq!(stranger.status(), StatusCode::FORBIDDEN);

    let stop = api.delete(server).header(header::AUTHORIZATION, &authorization).send().await.unwrap();
    assert!([StatusCode::NO_CONTENT, StatusCode::ACCEPTED].contains(&stop.status()), "{stop:?}");
    let mut user = hub.user(&api).await;
    for _ in 0..200 {
        if user["pending"].is_null() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
        user = hub.user(&api).await;
    }
    assert_eq!((&user["pending"], &user["server"]), (&Value::Null, &Value::Null), "{user}");

    let pid = Pid::from_raw(hub.process.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = timeout(Duration::from_secs(30), hub.process.wait()).await.expect("the hub ends").unwrap();
    assert!(status.success(), "{status}");
}
