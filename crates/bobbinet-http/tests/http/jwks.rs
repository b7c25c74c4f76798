//! Where another issuer's keys are fetched from, and what is not believed of it.

use std::time::{Duration, Instant};

use bobbinet_auth::{FetchJwks, Fetched, JWKS_LENGTH_MAX};
use bobbinet_http::client::HttpJwks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

/// A server that gives each who comes the answer for his path, on a port of its own, until it is dropped.
async fn server(answers: Vec<(&'static str, String)>) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 4_096];
            let length = socket.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            if let Some((_, answer)) = answers.iter().find(|(known, _)| *known == path) {
                socket.write_all(answer.as_bytes()).await.ok();
            }
        }
    });
    (origin, serving)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

#[tokio::test]
async fn keys_are_fetched_within_bounds_and_never_from_somewhere_else() {
    let set = r#"{"keys":[]}"#;
    let (elsewhere, _other) = server(vec![("/jwks.json", answer("200 OK", "", set))]).await;
    let to = |url: &str| answer("302 Found", &format!("location: {url}\r\n"), "");
    let (origin, _serving) = server(vec![
        ("/jwks.json", answer("200 OK", "cache-control: public, max-age=120\r\n", set)),
        ("/moved", to("/jwks.json")),
        ("/elsewhere", to(&format!("{elsewhere}/jwks.json"))),
        ("/in-circles", to("/in-circles")),
        ("/metadata", to("http://169.254.169.254/latest")),
        ("/none", answer("404 Not Found", "", set)),
        ("/large", answer("200 OK", "", &" ".repeat(JWKS_LENGTH_MAX + 1))),
        ("/as-large-as-may-be", answer("200 OK", "", &" ".repeat(JWKS_LENGTH_MAX))),
        ("/cut", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned()),
        ("/garbage", "what?\r\n\r\n".to_owned()),
    ])
    .await;
    let fetch = async |path: &str| HttpJwks::new(&format!("{origin}{path}")).unwrap().fetch().await;
    let Fetched { text, max_age } = fetch("/jwks.json").await.unwrap();
    assert_eq!((text.as_slice(), max_age), (set.as_bytes(), Some(Duration::from_secs(120))));
    assert_eq!(fetch("/moved").await.unwrap().text, set.as_bytes());
    assert_eq!(fetch("/as-large-as-may-be").await.unwrap().text.len(), JWKS_LENGTH_MAX);
    for (path, expected) in [
        ("/elsewhere", "302"),
        ("/in-circles", "302"),
        ("/metadata", "302"),
        ("/none", "404"),
        ("/large", "more than"),
        ("/cut", "error"),
        ("/garbage", "error"),
        ("/silence", "error"),
    ] {
        let error = fetch(path).await.unwrap_err();
        assert!(error.contains(expected), "{path}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = HttpJwks::new(&format!("http://{}/jwks.json", listener.local_addr().unwrap())).unwrap();
    let start = Instant::now();
    assert!(keys.fetch().await.is_err());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}
