//! A node's edge as it stands after a start: what it says of itself is what others can use, and few descriptors are enough.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::Url;
use serde_json::Value;
use tempfile::TempDir;

use crate::node::{PATIENCE, Started};

/// A node with these agents, told what it may have; killed when dropped.
struct Node {
    /// Before its folder, as it must be gone before that is.
    child: Started,
    folder: TempDir,
    /// The lines that it has printed: where it listens, then its agents.
    printed: Vec<String>,
}

impl Node {
    fn start(agents: &[&str], arguments: &str, limit: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_bobbinet");
        let mut config = "agents:\n".to_owned();
        for name in agents {
            config.push_str(&format!(
                "  {name}: {{ mcp: {{ command: [{program:?}, demo-server, greeter, ./{name}] }} }}\n"
            ));
        }
        std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
        let log = std::fs::File::create(folder.path().join("node.log")).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit} exec {program} up bobbinet.yaml {arguments}")])
            .env("HOME", folder.path().join("home"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let printed = lines.take(1 + agents.len()).map(Result::unwrap).collect();
        Self { folder, child: Started(child), printed }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("node.log")).unwrap()
    }

    fn url(&self) -> &str {
        self.printed[0].strip_prefix("listening on ").unwrap()
    }

    fn address(&self) -> SocketAddr {
        self.url().strip_prefix("http://").unwrap().parse().unwrap()
    }
}

async fn interface(http: &reqwest::Client, url: impl reqwest::IntoUrl) -> String {
    let card: Value = http.get(url).send().await.unwrap().json().await.unwrap();
    card["supportedInterfaces"][0]["url"].as_str().unwrap().to_owned()
}

/// The official SDKs have two ways from a base URL to the card: as a link on a page of that URL, or behind it.
#[tokio::test]
async fn the_urls_that_up_prints_lead_to_cards_in_every_sdks_way() {
    let node = Node::start(&["greeter", "other"], "--listen 127.0.0.1:0", "");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for line in &node.printed[1..] {
        let (name, url) = line.strip_prefix("agent ").unwrap().split_once(" at ").unwrap();
        // Behind it may stand that the server is still starting.
        let url = url.split_whitespace().next().unwrap();
        let path = ".well-known/agent-card.json";
        let expected = format!("{}/agents/{name}", node.url());
        assert_eq!(interface(&http, Url::parse(url).unwrap().join(path).unwrap()).await, expected);
        assert_eq!(interface(&http, format!("{url}/{path}")).await, expected);
        assert_eq!(interface(&http, format!("{}/{path}", url.trim_end_matches('/'))).await, expected);
    }
    assert_eq!(node.printed.len(), 3);
}

/// A token of the node is good for what its cards say, at whatever address of the machine they were asked for.
#[tokio::test]
async fn a_node_on_every_address_names_in_its_cards_where_its_tokens_are_taken() {
    let node = Node::start(&["greeter"], "--listen 0.0.0.0:0 --no-tls", "");
    assert!(node.log().contains("--public-url"), "a start that cannot know its URL says so: {}", node.log());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let port = node.address().port();
    let machine = nix::ifaddrs::getifaddrs().unwrap().filter_map(|it| Some(it.address?.as_sockaddr_in()?.ip()));
    for ip in machine {
        for host in [format!("{ip}:{port}"), "agents.example.com".to_owned()] {
            let request = http.get(format!("http://{ip}:{port}/agents/greeter/.well-known/agent-card.json"));
            let card: Value = request.header("host", &host).send().await.unwrap().json().await.unwrap();
            let url = card["supportedInterfaces"][0]["url"].as_str().unwrap();
            assert_eq!(url, format!("http://{ip}:{port}/agents/greeter"), "asked as {host}");
            let token = crate::node::bobbinet(node.folder.path()).args(["token", "mint", "--audience", url]).output();
            let token = String::from_utf8(token.unwrap().stdout).unwrap();
            let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {} });
            let call = http.post(url).header("a2a-version", "1.0").bearer_auth(token.trim()).json(&body);
            assert_eq!(call.send().await.unwrap().status(), 200, "{url}");
        }
    }
}

/// Whether the node answers a probe at once, and a caller before long.
fn probe(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn open_files(pid: u32) -> (usize, usize) {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut numbers = line.split_ascii_whitespace().filter_map(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// The node's server, and what that has started.
fn server_of(node: &Node) -> u32 {
    let patience = Instant::now() + PATIENCE;
    loop {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let is_server = |pid: &u32| {
            let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).ok();
            words.get(1) == Some(&b"demo-server".as_slice()) && cwd.as_deref() == Some(node.folder.path())
        };
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        if let Some(pid) = pids.find(is_server) {
            return pid;
        }
        assert!(Instant::now() < patience, "there is no server");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn probes_are_answered_with_few_descriptors_and_many_connections() {
    let node = Node::start(&["greeter"], "--listen 127.0.0.1:0", "ulimit -Sn 200; ulimit -Hn 256;");
    assert_eq!(open_files(node.child.0.id()), (256, 256), "the node takes what it may");
    assert_eq!(open_files(server_of(&node)), (200, 256), "its server has what it would have without it");
    let crowd: Vec<TcpStream> =
        (0..400).map(|_| TcpStream::connect_timeout(&node.address(), Duration::from_secs(5)).unwrap()).collect();
    for _ in 0..3 {
        let answer = probe(node.address());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}: {}", node.log());
    }
    assert!(!node.log().contains("cannot accept"), "{}", node.log());
    drop(crowd);
    let patience = Instant::now() + PATIENCE;
    let let_in = || {
        let mut stream = TcpStream::connect(node.address()).unwrap();
        stream.write_all(b"GET /agents HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok();
        answer.starts_with("HTTP/1.1 200 ")
    };
    while !let_in() {
        assert!(Instant::now() < patience, "the places are given back: {}", node.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn probes_are_answered_while_one_address_holds_4096_connections() {
    // Both ends of each are files of this machine, and the test's own are this process's.
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let node = Node::start(&["greeter"], "--listen 127.0.0.1:0", "");
    let crowd: Vec<TcpStream> =
        (0..4_096).map(|_| TcpStream::connect_timeout(&node.address(), Duration::from_secs(5)).unwrap()).collect();
    for _ in 0..3 {
        let begun = Instant::now();
        let answer = probe(node.address());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}: {}", node.log());
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
    drop(crowd);
}
