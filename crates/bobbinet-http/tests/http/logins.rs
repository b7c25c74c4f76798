//! Browsers that come back from a login elsewhere: heard without a token, once they are expected, and to the end.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bobbinet_core::AgentName;
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_http::{AgentLogin, CALLBACK_PATH, CLIENT_PATH, Logins};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

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

    async fn of_agent(&self, _agent: &AgentName, asked: AgentLogin) -> Result<Option<Value>, String> {
        Ok(Some(json!({ "asked": format!("{asked:?}") })))
    }
}

#[tokio::test]
async fn an_agents_logins_are_its_nodes_owners_business() {
    let node = Node::start().await;
    let url = format!("{}/bobbinet/login", node.url);
    let ask = |method: Method, token: Option<String>| {
        let request = node.http.request(method, &url);
        token.into_iter().fold(request, |request, token| request.bearer_auth(token)).send()
    };
    assert_eq!(ask(Method::GET, Some(node.token())).await.unwrap().status(), 404, "there are none");
    node.server.take_logins(Arc::new(Heard::default()));
    for (method, expected) in [(Method::GET, "Show"), (Method::POST, "Begin"), (Method::DELETE, "Forget")] {
        let answer = ask(method.clone(), Some(node.token())).await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "asked": expected }));
        assert_eq!(ask(method.clone(), None).await.unwrap().status(), 401);
        let stranger = node.token_of("ann", &node.url, SystemEnv.now());
        assert!(matches!(ask(method, Some(stranger)).await.unwrap().status().as_u16(), 401 | 403 | 404));
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
