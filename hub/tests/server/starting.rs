//! How a server starts, ends, and says what is wrong.

use reqwest::Client;
use std::time::Duration;

use crate::front::{Setup, TOKEN};

const PROGRAM: &str = r#"
import http.server, os, socket, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ("%s %s" % (sys.argv[1], self.path)).encode()
        self.send_response(200)
        self.send_header("X-Program", os.environ.get("JUPYTER_TOKEN", "none"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return "front"
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    pass
Server(sys.argv[2], Handler).serve_forever()
"#;

#[tokio::test]
async fn a_command_is_started_on_a_private_socket_and_ends_with_the_front() {
    use std::os::unix::fs::PermissionsExt;
    let setup = Setup::new().env("JUPYTER_TOKEN", TOKEN);
    std::fs::write(setup.dir.path().join("program.py"), PROGRAM).unwrap();
    let arguments = ["--port", "0", "--base-url", "/b", "--", "python3", "program.py", "{base_url}", "{socket}"];
    let front = setup.args(arguments).start().await;
    let answer = Client::new().get(front.at("/x?y=1")).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(answer.headers()["x-program"], "none", "the token is none of the program's business");
    assert_eq!(answer.text().await.unwrap(), "/b/ /b/x?y=1");
    let programs = sockets_of_programs();
    let socket = programs.iter().find(|socket| socket.exists()).unwrap().clone();
    assert_eq!(socket.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    front.stop().await;
    assert!(!socket.parent().unwrap().exists(), "{} is left", socket.display());
}

/// The sockets that programs of fronts got, by their command lines.
fn sockets_of_programs() -> Vec<std::path::PathBuf> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path().join("cmdline")));
    let lines = processes.filter_map(|file| String::from_utf8(std::fs::read(file).ok()?).ok());
    let of_program = lines.filter(|line| line.contains("program.py\0/b/\0"));
    of_program.filter_map(|line| line.split('\0').nth(3).map(Into::into)).collect()
}

/// In a container nobody else would: the front is the first process there.
#[tokio::test]
async fn what_the_program_leaves_behind_does_not_stay_in_the_table_of_processes() {
    let setup = Setup::new().env("JUPYTER_TOKEN", TOKEN);
    std::fs::write(setup.dir.path().join("program.py"), PROGRAM).unwrap();
    // The shell that starts it ends first, and leaves it to the front.
    let leaves = "(sh -c 'sleep 2; exit 3' & echo $! > left) ; exec python3 program.py x {socket}";
    let front = setup.args(["--port", "0", "--", "sh", "-c", leaves]).start().await;
    let left = std::fs::read_to_string(front.dir.path().join("left")).unwrap();
    let stat = format!("/proc/{}/stat", left.trim());
    let parent = |stat: String| stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().to_owned();
    let adopted = async {
        while parent(std::fs::read_to_string(&stat).unwrap()) != front.child.id().unwrap().to_string() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), adopted).await.expect("it is left to the front");
    let gone = async {
        while std::path::Path::new(&stat).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it is gone, and no zombie");
    let answer = Client::new().get(front.at("/")).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(answer.status(), 200, "the program goes on");
    front.stop().await;
}

#[tokio::test]
async fn stopping_on_request_needs_the_token_and_ends_the_program_too() {
    let setup = Setup::new().env("JUPYTER_TOKEN", TOKEN);
    std::fs::write(setup.dir.path().join("program.py"), PROGRAM).unwrap();
    let mut front = setup.args(["--port", "0", "--", "python3", "program.py", "x", "{socket}"]).start().await;
    let stop =
        async |token: &str| Client::new().post(front.at("/api/shutdown")).bearer_auth(token).send().await.unwrap();
    assert_eq!(stop("wrong").await.status(), 403);
    assert_eq!(stop(TOKEN).await.status(), 200);
    let status = tokio::time::timeout(Duration::from_secs(15), front.child.wait()).await.unwrap().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn a_taken_port_is_passed_over_unless_no_other_may_be_tried() {
    let first = Setup::new().guard().await;
    let port = first.port().to_string();
    let upstream = "http://127.0.0.1:9";
    let second = Setup::new().args(["--upstream", upstream, "--port", &port]).start().await;
    assert!(second.port() > first.port());
    let arguments = ["--upstream", upstream, "--port", &port, "--port-retries", "0"];
    let (code, said) = Setup::new().args(arguments).fail().await;
    assert!(code == 1 && said.contains("--port"), "{code} {said}");
}

#[tokio::test]
async fn what_cannot_be_used_is_named_with_the_remedy() {
    let upstream = ["--upstream", "http://127.0.0.1:9", "--port", "0"];
    for (arguments, code, words) in [
        (vec!["--ServerApp.password=plain-text"], 1, vec!["ServerApp.password", "hub server password"]),
        (vec!["--ServerApp.port_retries=many"], 1, vec!["ServerApp.port_retries", "the command line"]),
        (vec!["--ServerApp.port"], 2, vec!["--ServerApp.port", "=value"]),
        (vec!["--ServerApp.password_required=True"], 1, vec!["hub server password"]),
        (vec!["--keyfile", "key.pem"], 1, vec!["certfile"]),
        (vec!["--certfile", "missing.pem"], 1, vec!["missing.pem"]),
        (vec!["--ServerApp.allow_origin_pat=("], 1, vec!["allow_origin_pat", "regular expression"]),
        (vec!["--config", "missing.py"], 1, vec!["missing.py"]),
        (vec!["--no-browser", "--browser"], 2, vec!["--no-browser"]),
        (vec!["--upstream", "https://x"], 2, vec!["--upstream"]),
    ] {
        let (exit, said) =
            Setup::new().args(upstream.into_iter().filter(|_| code == 1)).args(arguments.clone()).fail().await;
        assert_eq!(exit, code, "{arguments:?}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
        assert!(!said.contains("plain-text"), "{said}");
    }
    let (exit, said) = Setup::new().args(["--port", "0", "--", "true"]).fail().await;
    assert!(exit == 1 && said.contains("{socket}") && said.contains("{port}"), "{said}");
    let (exit, said) = Setup::new().args(["--port", "0", "--", "sh", "-c", "exit 3", "{socket}"]).fail().await;
    assert!(exit == 1 && said.contains("ended before it answered") && said.contains('3'), "{said}");
    let (exit, said) = Setup::new().env("PATH", "/nowhere").args(["--port", "0"]).fail().await;
    assert!(exit == 1 && said.contains("pip install jupyterlab"), "{said}");
    let (exit, said) = Setup::new().env("JUPYTER_TOKEN_FILE", "/dev/null").args(upstream).fail().await;
    assert!(exit == 1 && said.contains("JUPYTER_TOKEN_FILE"), "{said}");
}

#[tokio::test]
async fn settings_come_from_files_environment_and_flags_s8() {
    let setup = Setup::new();
    let config = setup.dir.path().join(".jupyter");
    std::fs::create_dir(&config).unwrap();
    let python = "c = get_config()  # noqa\nc.IdentityProvider.token = 'from-python'\nc.ServerApp.base_url = '/py'\n";
    std::fs::write(config.join("jupyter_server_config.py"), python).unwrap();
    std::fs::write(config.join("jupyter_server_config.json"), r#"{"ServerApp": {"base_url": "/json"}}"#).unwrap();
    let front = setup.env("JUPYTER_TOKEN", "from-environment").guard().await;
    assert_eq!(front.info("url"), format!("http://localhost:{}/json/", front.port()));
    assert_eq!(front.info("token"), "from-python");
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "from-file\n").unwrap();
    let front =
        Setup::new().env("JUPYTER_TOKEN_FILE", token.path()).args(["--ServerApp.base_url=/flag/"]).guard().await;
    assert_eq!(front.info("token"), "from-file");
    assert!(front.url.ends_with("/flag/?token=..."), "one that somebody chose is not logged: {}", front.url);
    let front = Setup::new().env("JUPYTER_TOKEN", "no").args(["--IdentityProvider.token=from-flag"]).guard().await;
    assert_eq!(front.info("token"), "from-flag");
}
