//! A page in a real browser calls an agent of another origin: as its node allows it, and as it does not.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::node::{Node, PATIENCE, is_complete_machine, log_of, repository, tools};

/// What a browser of Chromium's family is called, one name to a line; `cargo xtask tools` reads it too.
const BROWSERS: &str = include_str!("../browser/browsers.txt");

/// What the page tries.
const STEPS: [&str; 9] = [
    "card",
    "SendMessage",
    "SendStreamingMessage",
    "SubscribeToTask after an event",
    "REST",
    "an error",
    "401",
    "EventSource",
    "the SDK",
];

#[test]
fn a_page_calls_an_agent_if_its_origin_is_allowed_and_reads_nothing_if_it_is_not() {
    let Some(browser) = browser() else {
        assert!(!is_complete_machine(), "no browser is there: on Debian cargo xtask tools installs chromium, as root");
        println!("left out: a page in a browser, as there is no chromium");
        return;
    };
    let site = Site::open();
    let folder = tempfile::tempdir().unwrap();
    let server = tools().join("npm/node_modules/.bin/mcp-server-everything");
    assert!(server.exists(), "{} is missing: cargo xtask tools", server.display());
    let allowed = format!("http://127.0.0.1:{}", site.port);
    let config = format!(
        "node: {{ listen: \"127.0.0.1:0\", data: ./data, cors: [{allowed:?}] }}\n\
         agents:\n  everything: {{ use: everything, mcp: {{ command: [{server:?}] }} }}\n"
    );
    fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
    let node = Node::start(folder.path(), &[]).unwrap();
    let agent = node.agent("everything");
    let told_at = |origin: &str| {
        let page = format!("{origin}/?agent={}&token={}", agent.url, agent.token);
        let home = tempfile::tempdir().unwrap();
        let _browsing = Browsing::begin(&browser, home.path(), &page);
        let told = site.told.recv_timeout(PATIENCE);
        told.unwrap_or_else(|_| {
            let said = fs::read_to_string(home.path().join("browser.log")).unwrap_or_default();
            panic!("{origin} told nothing.\nbrowser:\n{said}\nnode:\n{}", log_of(folder.path()))
        })
    };
    let mut expected = json!({});
    for step in STEPS {
        expected[step] = json!(if step == "EventSource" { "closed" } else { "ok" });
    }
    assert_eq!(told_at(&allowed), expected, "node:\n{}", log_of(folder.path()));

    // The same page at another origin.
    let told = told_at(&format!("http://localhost:{}", site.port));
    for step in STEPS {
        let is_kept_away = told[step].as_str().is_some_and(|it| it.contains("Failed to fetch") || it == "closed");
        // Of a card that cannot be read the SDK says so in its own words.
        assert!(is_kept_away || (step == "the SDK" && told[step] != "ok"), "{step}: {told}");
    }
    assert!(node.stop().success());
}

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    BROWSERS.lines().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|file| file.is_file())
}

/// A browser without a window, on one page. It ends when it is dropped, with all that it has started.
struct Browsing(Child);

impl Browsing {
    fn begin(browser: &Path, home: &Path, page: &str) -> Self {
        let log = fs::File::create(home.join("browser.log")).unwrap();
        // Its sandbox needs what containers and root do not have; it sees no page but ours.
        let child = Command::new(browser)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--no-proxy-server", "--disable-background-networking", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", home.join("profile").display()))
            .arg(page)
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Browsing {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        // It may have ended by itself.
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// Where the page is, at two origins: by the address of this machine and by its name.
struct Site {
    port: u16,
    told: Receiver<Value>,
}

impl Site {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, told) = mpsc::channel();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let tell = tell.clone();
                std::thread::spawn(move || {
                    // A browser opens connections that it does not use.
                    let _ = serve(stream, &tell);
                });
            }
        });
        Self { port, told }
    }
}

/// One request of a connection.
fn serve(mut stream: TcpStream, tell: &Sender<Value>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = first.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    if path == "/told" {
        tell.send(serde_json::from_slice(&body).unwrap()).unwrap();
    }
    let file = match path {
        "/" => Some(repository("tests/browser/page.html")),
        "/page.mjs" => Some(repository("tests/browser/page.mjs")),
        _ => path.strip_prefix("/node_modules/").map(|module| tools().join("npm/node_modules").join(module)),
    };
    let (status, content) = match file.map(fs::read) {
        Some(Ok(content)) => ("200 OK", content),
        Some(Err(_)) => ("404 Not Found", Vec::new()),
        None => ("204 No Content", Vec::new()),
    };
    let media_type = if path == "/" { "text/html" } else { "text/javascript" };
    let length = content.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&content)
}
