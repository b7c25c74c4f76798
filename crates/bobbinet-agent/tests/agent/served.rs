//! How an agent is served, and when it is not.

use bobbinet_agent::{Agent, Answer, Card, Failure, Node, NodeError, Task};
use serde_json::json;

use crate::clerk::{Clerk, answer, message, state};

struct Misnamed;

impl Agent for Misnamed {
    fn card(&self) -> Card {
        Card::new("Not A Name", "Cannot be served.")
    }

    async fn run(&self, _task: Task) -> Result<Answer, Failure> {
        Ok(Answer::nothing())
    }
}

#[tokio::test]
async fn an_agent_that_is_open_answers_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let node = || Node::new(Clerk::default()).listen(([127, 0, 0, 1], 0).into()).data_dir(folder.path());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = |url: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message("count 1") });
        let request = http.post(url).header("content-type", "application/json").header("a2a-version", "1.0");
        request.body(body.to_string())
    };
    let serving = node().start().await.unwrap();
    assert_eq!(request(serving.url()).send().await.unwrap().status(), 401);
    serving.stop().await;

    let serving = node().open().start().await.unwrap();
    assert_eq!(state(&answer(request(serving.url())).await["result"]["task"]), "COMPLETED");
    let card = http.get(format!("{}/.well-known/agent-card.json", serving.url())).send().await.unwrap();
    let card = card.text().await.unwrap();
    assert!(!card.contains("security"), "nobody is asked for anything: {card}");
    let forged = request(serving.url()).bearer_auth("not-a-token").send().await.unwrap();
    assert_eq!(forged.status(), 401, "who shows something has to be somebody");
    serving.stop().await;
}

#[tokio::test]
async fn what_cannot_be_served_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |node: Node| node.data_dir(folder.path()).start();
    let error = refused(Node::new(Misnamed)).await.unwrap_err();
    assert!(matches!(error, NodeError::Card(_)), "{error:?}");
    let everywhere = Node::new(Clerk::default()).listen(([0, 0, 0, 0], 0).into()).open();
    let error = refused(everywhere).await.unwrap_err();
    assert!(matches!(error, NodeError::Open(_)), "{error:?}");
    let everywhere = || Node::new(Clerk::default()).listen(([0, 0, 0, 0], 0).into());
    let error = refused(everywhere()).await.unwrap_err();
    assert!(matches!(error, NodeError::InClear(_)) && error.to_string().contains("--no-tls"), "{error:?}");
    let error = refused(everywhere().public_url("http://clerk.example")).await.unwrap_err();
    assert!(matches!(error, NodeError::InClear(_)), "{error:?}");
    let error =
        refused(everywhere().tls(folder.path().join("no.crt"), folder.path().join("no.key"))).await.unwrap_err();
    assert!(matches!(error, NodeError::Tls(_)), "{error:?}");
    // What is before it has TLS.
    for node in [everywhere().behind_tls_proxy(), everywhere().public_url("https://clerk.example")] {
        refused(node).await.unwrap().stop().await;
    }
}
