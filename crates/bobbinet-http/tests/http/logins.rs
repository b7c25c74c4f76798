//! Browsers that come back from a login elsewhere: heard without a token, once they are expected, and to the end.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bobbinet_http::{CALLBACK_PATH, CLIENT_PATH, Logins};
use reqwest::StatusCode;

use crate::node::Node;

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

#[async_trait]
impl Logins for Heard {
    async fn come_back(&self, query: &str) -> (StatusCode, String) {
        self.0.lock().unwrap().push(query.to_owned());
        (StatusCode::OK, "welcome".to_owned())
    }

    fn client_metadata(&self) -> Option<String> {
        Some(r#"{"client_id":"x"}"#.to_owned())
    }
}

#[tokio::test]
async fn a_browser_that_comes_back_is_heard_and_leaves_nothing_behind() {
    let node = Node::start().await;
    let get = |path: String| node.http.get(format!("http://{}{path}", node.address)).send();
    assert_eq!(get(CALLBACK_PATH.to_owned()).await.unwrap().status(), 404, "nobody has been sent");
    assert_eq!(get(CLIENT_PATH.to_owned()).await.unwrap().status(), 404);
    let heard = Arc::new(Heard::default());
    node.server.take_logins(heard.clone());
    let answer = get(format!("{CALLBACK_PATH}?code=a%2Fb&state=s")).await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(header("referrer-policy").as_deref(), Some("no-referrer"));
    assert_eq!((answer.status(), answer.text().await.unwrap().trim()), (StatusCode::OK, "welcome"));
    assert_eq!(*heard.0.lock().unwrap(), ["code=a%2Fb&state=s"]);
    let answer = get(CLIENT_PATH.to_owned()).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), r#"{"client_id":"x"}"#);
}
