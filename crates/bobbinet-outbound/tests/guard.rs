//! What goes out and what does not.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::{Router, body::Body, http::StatusCode, response::Redirect, routing::get};
use bobbinet_outbound::{Fetched, Guard, Origin, OutboundError, OutboundLimits, Refused, Resolver, Trust, fetch};
use reqwest::{Method, Url};
use tokio::{net::TcpListener, task::JoinSet};

fn url(text: &str) -> Url {
    Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn guard(configured: &[&str]) -> Guard {
    let configured: Vec<Origin> = configured.iter().map(|text| Origin::of(&url(text)).unwrap()).collect();
    Guard::new(configured, OutboundLimits::default()).unwrap()
}

/// Asks for a URL through a guard, as anything does that is not the operator's word.
async fn ask(guard: &Guard, text: &str) -> Result<Fetched, OutboundError> {
    let url = url(text);
    let http = guard.http(&url)?;
    fetch(http.request(Method::GET, &url)?, guard.limits()).await
}

/// URLs that nobody but the operator may have called. Each is written in a way that somebody has tried.
const REFUSED: [&str; 77] = [
    // This machine.
    "http://127.0.0.1/",
    "http://127.0.0.1:7420/agents/files",
    "http://127.1/",
    "http://127.255.255.254/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://0/",
    "http://0.0.0.0/",
    "http://0.1.2.3/",
    "http://localhost/",
    "http://localhost./",
    "http://LOCALHOST:80/",
    "http://a.localhost/",
    "http://a.localhost./",
    "http://localhost.localdomain/",
    "http://ip6-localhost/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://%31%32%37.0.0.1/",
    "http://①②⑦.0.0.1/",
    "http://127。0。0。1/",
    // This machine, and private networks, within IPv6.
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://[::10.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::10.0.0.1]/",
    // The same in the layout that a network may choose in that range (RFC 8215; RFC 6052, section 2.2).
    "http://[64:ff9b:1:a00:0:100:808:808]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a00:1::1]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[2400::5efe:10.0.0.1]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    // Private networks.
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://192.168.257/",
    "http://3232235777/",
    "http://0xc0a80101/",
    "http://100.64.0.1/",
    "http://100.127.255.255/",
    "http://[fc00::1]/",
    "http://[fd12:3456::1]/",
    "http://[fec0::1]/",
    // Links, and metadata of clouds.
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.1.1/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://168.63.129.16/",
    "http://100.100.100.200/",
    "http://192.0.0.192/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[febf::1]/",
    // Many, none, and what is for documents.
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://[ff02::1]/",
    "http://192.0.2.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://198.18.0.1/",
    "http://[2001:db8::1]/",
    "http://[4000::1]/",
];

#[test]
fn what_is_inside_is_not_called_on_anothers_word() {
    let guard = guard(&[]);
    for text in REFUSED {
        let refused = guard.http(&url(text)).map(drop);
        let is_one = matches!(refused, Err(Refused::Address { .. } | Refused::LocalName { .. }));
        assert!(is_one, "{text}: {refused:?}");
        let words = refused.unwrap_err().to_string();
        assert!(words.contains("the operator of this node names it in its configuration"), "{words}");
    }
}

#[test]
fn what_is_no_url_to_call_is_not_called_on_anybodys_word() {
    let guard = guard(&["https://a.example"]);
    for text in [
        "ftp://a.example/",
        "file:///etc/passwd",
        "gopher://a.example/",
        "data:text/plain,x",
        "unix:/run/x.sock",
        "https://me:secret@a.example/",
        "https://me@a.example/",
        "https://a.example:0/",
        "https://a.example../",
    ] {
        let refused = guard.http(&url(text)).map(drop).unwrap_err();
        assert!(matches!(refused, Refused::Url { .. }), "{text}: {refused:?}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
}

#[test]
fn what_is_anybodys_is_called() {
    let guard = guard(&[]);
    for text in [
        "https://agents.example.com/a",
        "https://agents.example.com./a",
        "http://1.1.1.1/",
        "http://172.15.255.255/",
        "http://172.32.0.1/",
        "http://100.63.255.255/",
        "http://100.128.0.1/",
        "http://192.167.255.255/",
        "http://169.253.255.255/",
        "http://198.20.0.1/",
        "http://223.255.255.255/",
        "http://11.0.0.1/",
        "http://[2606:4700:4700::1111]/",
        "http://[::ffff:1.1.1.1]/",
        "http://[64:ff9b::1.1.1.1]/",
        "http://[2002:101:101::1]/",
        "https://localhost.example/",
        "https://notlocalhost/",
    ] {
        let http = guard.http(&url(text)).unwrap_or_else(|refused| panic!("{text}: {refused}"));
        assert_eq!(http.trust(), Trust::Other, "{text}");
    }
}

#[test]
fn what_the_operator_wrote_down_may_be_anywhere_and_that_alone() {
    let guard = guard(&["http://10.0.0.1:7420", "https://inside.example", "http://127.0.0.1:9"]);
    for (text, is_called) in [
        ("http://10.0.0.1:7420/agents/a?x=1", true),
        ("http://167772161:7420/", true),
        ("http://127.0.0.1:9/", true),
        // All names of this machine are one host.
        ("http://localhost:9/", true),
        ("http://10.0.0.1:7421/", false),
        ("http://10.0.0.1/", false),
        ("https://10.0.0.1:7420/", false),
        ("http://10.0.0.2:7420/", false),
        ("http://localhost:10/", false),
        ("https://localhost:9/", false),
    ] {
        assert_eq!(guard.http(&url(text)).is_ok(), is_called, "{text}");
    }
    assert_eq!(guard.trust(&url("https://INSIDE.example.:443/x")), Ok(Trust::Configured));
    assert_eq!(guard.trust(&url("http://inside.example/x")), Ok(Trust::Other));
    let http = guard.http(&url("http://10.0.0.1:7420")).unwrap();
    for elsewhere in ["http://10.0.0.2:7420/", "http://10.0.0.1:7421/", "https://10.0.0.1:7420/"] {
        let refused = http.request(Method::GET, &url(elsewhere)).map(drop);
        assert!(matches!(refused, Err(Refused::OtherOrigin { .. })), "{elsewhere}: {refused:?}");
    }
}

/// A server that counts what it is asked.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _serving: JoinSet<io::Result<()>>,
}

async fn serve(router: impl FnOnce(SocketAddr) -> Router) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let router = router(address).layer(axum::middleware::map_request(move |request: axum::extract::Request| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { request }
    }));
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await });
    Server { address, asked, _serving: serving }
}

/// Gives another answer each time, the last one for ever.
#[derive(Debug)]
struct Changing {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Changing {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers.iter().map(|ips| ips.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        Arc::new(Self { answers, asked: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Resolver for Changing {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.answers[asked.min(self.answers.len() - 1)].clone())
    }
}

#[tokio::test]
async fn a_name_that_changes_between_check_and_use_is_caught() {
    let server = serve(|_| Router::new().route("/", get(|| async { "secret" }))).await;
    let resolver = Changing::new(&[&["93.184.215.14"], &["127.0.0.1"]]);
    let guard = Guard::with_resolver([], OutboundLimits::default(), resolver.clone()).unwrap();
    let text = format!("http://rebind.example:{}/", server.address.port());
    assert_eq!(guard.addresses(&url(&text)).await.unwrap(), ["93.184.215.14".parse::<IpAddr>().unwrap()], "checked");
    let refused = ask(&guard, &text).await.unwrap_err();
    let OutboundError::Refused(Refused::Address { address, .. }) = &refused else { panic!("{refused:?}") };
    assert_eq!(*address, IpAddr::V4(Ipv4Addr::LOCALHOST));
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 2);
    // The same name, as the operator's word.
    let origin = Origin::of(&url(&text)).unwrap();
    let guard = Guard::with_resolver([origin], OutboundLimits::default(), resolver).unwrap();
    assert_eq!(ask(&guard, &text).await.unwrap().body, b"secret");
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn one_address_inside_spoils_the_others() {
    for inside in ["127.0.0.1", "10.1.2.3", "::1", "::ffff:169.254.169.254", "fd00::1"] {
        let resolver = Changing::new(&[&["93.184.215.14", inside]]);
        let guard = Guard::with_resolver([], OutboundLimits::default(), resolver).unwrap();
        let refused = ask(&guard, "http://both.example/").await.unwrap_err();
        assert!(matches!(refused, OutboundError::Refused(Refused::Address { .. })), "{inside}: {refused:?}");
        let refused = guard.addresses(&url("http://both.example/")).await.unwrap_err();
        assert!(Refused::among(&*refused).is_some(), "{inside}: {refused:?}");
    }
    let guard = Guard::with_resolver([], OutboundLimits::default(), Changing::new(&[&["93.184.215.14"]])).unwrap();
    let refused = guard.http_at(&url("http://both.example/"), IpAddr::V4(Ipv4Addr::LOCALHOST)).map(drop);
    assert!(matches!(refused, Err(Refused::Address { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_name_without_an_address_is_no_refusal() {
    let guard = Guard::with_resolver([], OutboundLimits::default(), Changing::new(&[&[]])).unwrap();
    let error = ask(&guard, "http://nowhere.example/").await.unwrap_err();
    assert!(matches!(error, OutboundError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn each_address_of_a_name_is_called_for_itself() {
    let server = serve(|_| Router::new().route("/", get(|| async { "here" }))).await;
    let text = format!("http://replicas.example:{}/", server.address.port());
    let origin = Origin::of(&url(&text)).unwrap();
    let resolver = Changing::new(&[&["127.0.0.1", "127.0.0.9"]]);
    let guard = Guard::with_resolver([origin], OutboundLimits::default(), resolver.clone()).unwrap();
    let found = guard.addresses(&url(&text)).await.unwrap();
    assert_eq!(found.len(), 2);
    let get_at = async |ip: &str| {
        let http = guard.http_at(&url(&text), ip.parse().unwrap()).unwrap();
        fetch(http.request(Method::GET, &url(&text)).unwrap(), guard.limits()).await
    };
    assert_eq!(get_at("127.0.0.1").await.unwrap().body, b"here");
    // Nobody listens there: it listens at one address.
    let error = get_at("127.0.0.9").await.unwrap_err();
    assert!(matches!(error, OutboundError::Unreachable { .. }), "{error:?}");
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1, "a replica's address is not asked for again");
}

#[tokio::test]
async fn a_redirect_is_followed_within_its_origin_three_times_and_never_out_of_it() {
    let inside = serve(|_| Router::new().route("/", get(|| async { "secret" }))).await;
    let outside = format!("http://{}/", inside.address);
    let elsewhere = outside.clone();
    let server = serve(|address| {
        let to = |path: &'static str| get(move || async move { Redirect::temporary(path) });
        Router::new()
            .route("/1", to("/2"))
            .route("/2", to("/3"))
            .route("/3", to("/end"))
            .route("/0", to("/1"))
            .route("/loop", to("/loop"))
            .route("/end", get(|| async { "end" }))
            .route("/out", get(move || async move { Redirect::temporary(&elsewhere) }))
            .route("/out-in-two", to("/out"))
            .route("/scheme", get(|| async { Redirect::temporary("file:///etc/passwd") }))
            .route("/user", get(move || async move { Redirect::temporary(&format!("http://me:x@{address}/end")) }))
            .route(
                "/name",
                get(move || async move { Redirect::temporary(&format!("http://localhost:{}/end", address.port())) }),
            )
    })
    .await;
    // Even where both are the operator's.
    let base = format!("http://{}", server.address);
    let guard = guard(&[&base, &outside]);
    for (path, is_followed) in [
        ("/end", true),
        ("/1", true),
        ("/0", false),
        ("/loop", false),
        ("/out", false),
        ("/out-in-two", false),
        ("/scheme", false),
        ("/user", false),
        ("/name", false),
    ] {
        match ask(&guard, &format!("{base}{path}")).await {
            Ok(fetched) => {
                assert!(is_followed, "{path}: {fetched:?}");
                assert_eq!((fetched.status, &*fetched.body), (StatusCode::OK, &b"end"[..]), "{path}");
            }
            Err(error) => {
                let is_refused = matches!(error, OutboundError::Refused(Refused::Redirect { .. }));
                assert!(!is_followed && is_refused, "{path}: {error:?}");
            }
        }
    }
    assert_eq!(inside.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_never_ends_and_what_is_too_much_has_a_bound() {
    let endless = || async {
        Body::from_stream(futures_of(|n| async move {
            tokio::time::sleep(Duration::from_millis(if n == 0 { 0 } else { 60_000 })).await;
            Ok::<_, io::Error>("x")
        }))
    };
    let large = |bytes: usize| get(move || async move { vec![b'x'; bytes] });
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        "late"
    };
    let server = serve(|_| {
        Router::new()
            .route("/endless", get(endless))
            .route("/max", large(1_000))
            .route("/large", large(1_001))
            .route("/slow", get(slow))
    })
    .await;
    let limits = OutboundLimits {
        answer: Duration::from_millis(200),
        connect: Duration::from_millis(200),
        silence: Duration::from_millis(200),
        whole: Duration::from_millis(1_000),
        bytes_max: 1_000,
        ..OutboundLimits::default()
    };
    let base = format!("http://{}", server.address);
    let guard = Guard::new([Origin::of(&url(&base)).unwrap()], limits).unwrap();
    assert_eq!(ask(&guard, &format!("{base}/max")).await.unwrap().body.len(), 1_000);
    let error = ask(&guard, &format!("{base}/large")).await.unwrap_err();
    assert!(matches!(error, OutboundError::TooLong { max: 1_000, .. }), "{error:?}");
    for path in ["/endless", "/slow"] {
        let begun = Instant::now();
        let error = ask(&guard, &format!("{base}{path}")).await.unwrap_err();
        assert!(matches!(error, OutboundError::Timeout { .. }), "{path}: {error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{path}");
    }
}

/// A stream of what is made for 0, 1, 2 and so on.
fn futures_of<T, F: Future<Output = T> + Send>(
    make: impl FnMut(u32) -> F + Send + 'static,
) -> impl futures::Stream<Item = T> + Send {
    futures::stream::unfold((0_u32, make), |(n, mut make)| async move { Some((make(n).await, (n + 1, make))) })
}
