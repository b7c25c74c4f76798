//! TLS on the listener: what is shown, who is let in by his certificate, and what becomes of those who do not agree.

use std::{fs, path::Path, sync::Arc, time::Duration};

use bobbinet_auth::{CertificateName, CertifiedPrincipal, Lines, NamedPrincipal, Policy, PolicyLine};
use bobbinet_core::{Principal, Tenant};
use bobbinet_http::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use reqwest::{Identity, StatusCode};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::node::{Form, Node, PATIENCE, message};

/// An authority, and a folder with what it has signed.
struct House {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    authority: rcgen::Certificate,
}

impl House {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key), authority }
    }

    /// A certificate and its key in PEM.
    fn sign(&self, names: Vec<SanType>) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        (signed.pem(), key.serialize_pem())
    }

    fn files(&self, has_client_ca: bool, is_client_required: bool) -> TlsFiles {
        let path = |name: &str| self.folder.path().join(name);
        let (certificate, key) = self.sign(vec![SanType::IpAddress([127, 0, 0, 1].into())]);
        fs::write(path("tls.crt"), certificate).unwrap();
        fs::write(path("tls.key"), key).unwrap();
        TlsFiles {
            certificate: path("tls.crt"),
            key: path("tls.key"),
            client_ca: has_client_ca.then(|| path("ca.crt")),
            is_client_required,
        }
    }

    /// A client that believes this authority and no other.
    fn client(&self, shown: Option<(String, String)>) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        let builder = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
        let identity = shown.map(|(certificate, key)| Identity::from_pem(format!("{certificate}{key}").as_bytes()));
        let builder = match identity {
            Some(identity) => builder.identity(identity.unwrap()),
            None => builder,
        };
        builder.build().unwrap()
    }

    /// What speaks these protocols, and shows this certificate.
    fn connector(&self, protocols: &[&str], shown: Option<(String, String)>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap).collect();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    async fn connect(&self, node: &Node, protocol: &str) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(node.address).await.unwrap();
        self.connector(&[protocol], None).connect(name_of(node), stream).await.unwrap()
    }
}

/// When a change of the files is known, if somebody asks then.
const LOOKED_AT: Duration = Duration::from_secs(6);

fn name_of(node: &Node) -> ServerName<'static> {
    ServerName::IpAddress(node.address.ip().into())
}

/// The status of the answer to a request for this over HTTP/1.1.
async fn status_of(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut status)).await.expect("an answer in time").unwrap();
    String::from_utf8(status.to_vec()).unwrap()
}

fn cart() -> CertifiedPrincipal {
    CertifiedPrincipal {
        name: CertificateName::parse("spiffe://prod.example/cart").unwrap(),
        principal: NamedPrincipal {
            principal: Principal::parse("cart").unwrap(),
            tenant: Tenant::parse("shop").unwrap(),
            lifetime_max: None,
        },
    }
}

fn uri(text: &str) -> Vec<SanType> {
    vec![SanType::URI(text.try_into().unwrap())]
}

async fn ask(http: &reqwest::Client, node: &Node, token: Option<String>) -> (StatusCode, Value) {
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "SendMessage", "params": message("echo hello") });
    let request = http.post(format!("{}/", node.url)).header("a2a-version", "1.0").json(&body);
    let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
    let response = timeout(PATIENCE, request.send()).await.expect("an answer in time").unwrap();
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn an_agent_is_called_by_https_and_its_card_says_so() {
    let house = House::new();
    let node = Node::with(Form { tls: Some(house.files(false, false)), ..Form::default() }).await;
    let http = house.client(None);
    let card = http.get(format!("{}/.well-known/agent-card.json", node.url)).send().await.unwrap();
    let card: Value = card.json().await.unwrap();
    assert_eq!(card["supportedInterfaces"][0]["url"], format!("https://{}/", node.address));
    let (status, answer) = ask(&http, &node, Some(node.token())).await;
    assert_eq!((status, &answer["error"]), (StatusCode::OK, &Value::Null));
    assert_eq!(ask(&http, &node, None).await.0, StatusCode::UNAUTHORIZED);
    // One who knows no such authority does not speak to it.
    assert!(node.http.get(&node.url).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn http_2_is_agreed_on_with_the_connection() {
    let house = House::new();
    let node = Node::with(Form { tls: Some(house.files(false, false)), ..Form::default() }).await;
    for (protocol, expected) in [("h2", Some(&b"h2"[..])), ("http/1.1", Some(&b"http/1.1"[..]))] {
        let stream = house.connect(&node, protocol).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), expected);
    }
    let stream = house.connect(&node, "h2").await;
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, http_body_util::Empty<bytes::Bytes>>(executor, io).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    let request = http::Request::get(format!("https://{}/livez", node.address));
    let request = request.body(http_body_util::Empty::new()).unwrap();
    let response = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::OK, http::Version::HTTP_2));
}

#[tokio::test]
async fn whoever_does_not_agree_is_told_or_sent_away_in_time() {
    let house = House::new();
    let mut form = Form { tls: Some(house.files(false, false)), ..Form::default() };
    form.limits.handshake_ms = 200;
    let node = Node::with(form).await;
    // One who says nothing.
    let mut silent = TcpStream::connect(node.address).await.unwrap();
    let mut bytes = Vec::new();
    timeout(PATIENCE, silent.read_to_end(&mut bytes)).await.expect("the end in time").ok();
    assert!(bytes.is_empty());
    // One who stops half-way.
    let mut slow = TcpStream::connect(node.address).await.unwrap();
    slow.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    timeout(PATIENCE, slow.read_to_end(&mut bytes)).await.expect("the end in time").ok();
    assert!(bytes.is_empty());
    // One who means no TLS.
    let mut plain = TcpStream::connect(node.address).await.unwrap();
    plain.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    timeout(PATIENCE, plain.read_to_end(&mut bytes)).await.expect("the end in time").ok();
    let answer = String::from_utf8(bytes).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("this port speaks https, and that was no TLS.\n"),
        "{answer}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
}

#[tokio::test]
async fn one_who_shows_a_certificate_is_who_the_configuration_says() {
    let house = House::new();
    let lines =
        PolicyLine::parse("test".to_owned(), "caller.principal == 'cart' && caller.tenant == 'shop'", Vec::new());
    let policy = Policy::new(Lines::new(vec![lines.unwrap()]).unwrap());
    let form = Form { tls: Some(house.files(true, false)), certified: vec![cart()], policy, ..Form::default() };
    let node = Node::with(form).await;
    let cart = house.client(Some(house.sign(uri("spiffe://prod.example/cart"))));
    let (status, answer) = ask(&cart, &node, None).await;
    assert_eq!((status, &answer["error"]), (StatusCode::OK, &Value::Null));
    // A token says more than a certificate beside it, also where it is worth nothing.
    assert_eq!(ask(&cart, &node, Some(node.token())).await.0, StatusCode::OK);
    assert_eq!(ask(&cart, &node, Some("worthless".to_owned())).await.0, StatusCode::UNAUTHORIZED);
    let other = house.client(Some(house.sign(uri("spiffe://prod.example/other"))));
    assert_eq!(ask(&other, &node, None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&other, &node, Some(node.token())).await.0, StatusCode::OK);
    assert_eq!(ask(&house.client(None), &node, None).await.0, StatusCode::UNAUTHORIZED);
    // Signed by somebody else.
    let stranger = house.client(Some(House::new().sign(uri("spiffe://prod.example/cart"))));
    assert!(stranger.get(format!("{}/livez", node.url)).send().await.is_err());
}

#[tokio::test]
async fn where_a_certificate_is_needed_a_probe_needs_none() {
    let house = House::new();
    let form = Form { tls: Some(house.files(true, true)), certified: vec![cart()], ..Form::default() };
    let node = Node::with(form).await;
    let status = async |http: &reqwest::Client, path: &str| {
        let url = format!("https://{}{path}", node.address);
        timeout(PATIENCE, http.get(url).send()).await.expect("an answer in time").unwrap().status()
    };
    let nobody = house.client(None);
    assert_eq!(status(&nobody, "/livez").await, StatusCode::OK);
    assert_eq!(status(&nobody, "/.well-known/agent-card.json").await, StatusCode::FORBIDDEN);
    assert_eq!(status(&nobody, "/livez/../.well-known/jwks.json").await, StatusCode::FORBIDDEN);
    let anybody = house.client(Some(house.sign(uri("spiffe://prod.example/other"))));
    assert_eq!(status(&anybody, "/.well-known/agent-card.json").await, StatusCode::OK);
}

/// However long its handshake takes, a certificate counts by the authorities that it was held against.
#[tokio::test]
async fn an_authority_that_is_taken_away_during_a_handshake_is_not_believed_after_it() {
    let house = House::new();
    let mut form = Form { tls: Some(house.files(true, true)), certified: vec![cart()], ..Form::default() };
    form.limits.handshake_ms = 60_000;
    let node = Node::with(form).await;
    let cart = house.sign(uri("spiffe://prod.example/cart"));
    let (ours, mut theirs) = tokio::io::duplex(64 << 10);
    let (go, mut pump) = (Arc::new(tokio::sync::Notify::new()), tokio::task::JoinSet::new());
    let (told, mut stream) = (go.clone(), TcpStream::connect(node.address).await.unwrap());
    pump.spawn(async move {
        // The handshake begins, and stops.
        let first = theirs.read_u8().await.unwrap();
        stream.write_u8(first).await.unwrap();
        told.notified().await;
        drop(tokio::io::copy_bidirectional(&mut theirs, &mut stream).await);
    });
    let connector = house.connector(&["http/1.1"], Some(cart.clone()));
    let meanwhile = async {
        sleep(Duration::from_millis(100)).await;
        fs::write(house.folder.path().join("ca.crt"), House::new().authority.pem()).unwrap();
        sleep(LOOKED_AT).await;
        // Somebody else has the node look.
        let other = house.client(Some(cart.clone())).get(format!("{}/livez", node.url)).send().await;
        assert!(other.is_err(), "the new authority is not looked at");
        go.notify_one();
    };
    let (connected, ()) = tokio::join!(connector.connect(name_of(&node), ours), meanwhile);
    assert_eq!(status_of(&mut connected.unwrap(), "/.well-known/agent-card.json").await, "HTTP/1.1 403");
}

/// Or its client would go on using it, and be refused for ever.
#[tokio::test]
async fn a_connection_ends_whose_certificate_has_lost_its_authority() {
    let house = House::new();
    let form = Form { tls: Some(house.files(true, true)), certified: vec![cart()], ..Form::default() };
    let node = Node::with(form).await;
    let cart = house.sign(uri("spiffe://prod.example/cart"));
    let stream = TcpStream::connect(node.address).await.unwrap();
    let stream = house.connector(&["h2"], Some(cart)).connect(name_of(&node), stream).await.unwrap();
    let (io, executor) = (hyper_util::rt::TokioIo::new(stream), hyper_util::rt::TokioExecutor::new());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, http_body_util::Empty<bytes::Bytes>>(executor, io).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    let mut status = async || {
        let request = http::Request::get(format!("https://{}/.well-known/agent-card.json", node.address));
        let request = request.body(http_body_util::Empty::new()).unwrap();
        timeout(PATIENCE, sender.send_request(request)).await.expect("an answer in time").unwrap().status()
    };
    assert_eq!(status().await, StatusCode::OK);
    fs::write(house.folder.path().join("ca.crt"), House::new().authority.pem()).unwrap();
    sleep(LOOKED_AT).await;
    assert_eq!(status().await, StatusCode::FORBIDDEN);
    timeout(PATIENCE, tasks.join_next()).await.expect("the connection's end in time");
}

#[tokio::test]
async fn a_probe_that_takes_http_2_is_heard_when_all_places_are_taken() {
    let house = House::new();
    let mut form = Form { tls: Some(house.files(false, false)), ..Form::default() };
    form.limits.connections_max = 1;
    let node = Node::with(form).await;
    let _taken = house.connect(&node, "h2").await;
    let stream = TcpStream::connect(node.address).await.unwrap();
    let mut stream = house.connector(&["h2", "http/1.1"], None).connect(name_of(&node), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(status_of(&mut stream, "/livez").await, "HTTP/1.1 200");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_by_tls_too() {
    let house = House::new();
    let mut form = Form { tls: Some(house.files(false, false)), ..Form::default() };
    form.limits.send_stall_ms = 200;
    let node = Node::with(form).await;
    let mut stream = house.connect(&node, "http/1.1").await;
    const STEPS: usize = 9;
    const SIZE: usize = 2 << 20;
    stream.write_all(&node.raw("SendStreamingMessage", &message(&format!("steps {STEPS} {SIZE}")))).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    node.worker.gate.add_permits(STEPS);
    sleep(Duration::from_secs(2)).await;
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the end in time").ok();
    assert!(bytes.len() < STEPS * SIZE, "it was not cut: {}", bytes.len());
}

#[tokio::test(start_paused = true)]
async fn a_new_certificate_counts_for_the_next_connection() {
    let house = House::new();
    let files = house.files(false, false);
    // As Kubernetes does it: each file is a link through a link that is swapped.
    let root = house.folder.path().to_owned();
    let version = |name: &str, (certificate, key): (String, String)| {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("tls.crt"), certificate).unwrap();
        fs::write(root.join(name).join("tls.key"), key).unwrap();
    };
    let show = |name: &str| {
        std::os::unix::fs::symlink(name, root.join("..new")).unwrap();
        fs::rename(root.join("..new"), root.join("..data")).unwrap();
    };
    let link = |file: &Path, name: &str| {
        fs::remove_file(file).unwrap();
        std::os::unix::fs::symlink(Path::new("..data").join(name), file).unwrap();
    };
    let of_host = |name: &str| house.sign(vec![SanType::DnsName(name.try_into().unwrap())]);
    version("one", of_host("one.example"));
    version("two", of_host("two.example"));
    version("broken", (of_host("three.example").0, of_host("four.example").1));
    show("one");
    link(&files.certificate, "tls.crt");
    link(&files.key, "tls.key");
    let tls = bobbinet_http::Tls::open(files).unwrap();
    let served = async |name: &'static str| {
        let mut roots = RootCertStore::empty();
        roots.add(house.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let connector = TlsConnector::from(Arc::new(config));
        let connect = connector.connect(ServerName::try_from(name).unwrap(), ours);
        let (client, _) = tokio::join!(connect, tls.acceptor().accept(theirs));
        client.is_ok()
    };
    let later = || tokio::time::advance(Duration::from_secs(6));
    assert!(served("one.example").await);
    show("two");
    assert!(served("one.example").await, "it is not looked at each time");
    later().await;
    assert!(served("two.example").await && !served("one.example").await);
    show("broken");
    later().await;
    assert!(served("two.example").await, "what cannot be used leaves the one before");
    fs::remove_file(root.join("..data")).unwrap();
    later().await;
    assert!(served("two.example").await, "so does nothing at all");
    show("one");
    later().await;
    assert!(served("one.example").await && !served("two.example").await);
}

#[test]
fn files_that_cannot_be_used_are_refused_by_name() {
    let house = House::new();
    let good = house.files(true, false);
    let refused = |files: TlsFiles| bobbinet_http::Tls::open(files).unwrap_err().to_string();
    let nowhere = house.folder.path().join("nowhere");
    assert!(refused(TlsFiles { key: nowhere, ..good.clone() }).contains("nowhere"));
    assert!(refused(TlsFiles { key: good.certificate.clone(), ..good.clone() }).contains("no private key"));
    assert!(refused(TlsFiles { certificate: good.key.clone(), ..good.clone() }).contains("no certificate"));
    let other = house.folder.path().join("ca.crt");
    assert!(refused(TlsFiles { certificate: other, ..good.clone() }).contains("cannot be used with its key"));
    assert!(refused(TlsFiles { client_ca: Some(good.key.clone()), ..good }).contains("no certificate"));
}
