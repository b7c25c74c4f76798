use serde_json::{Value, json};

use crate::host::{Node, STATELESS, texts};

#[tokio::test]
async fn a_question_is_asked_on_the_stream_of_its_call() {
    let node = Node::start().await;
    for (answer, expected) in [
        (json!({"result": {"action": "accept", "content": {"name": "Ann"}}}), "hello Ann"),
        (json!({"result": {"action": "decline"}}), "declined"),
    ] {
        for meta in [json!({}), json!({"progressToken": 1})] {
            let host = node.open("2025-06-18", json!({"elicitation": {}})).await;
            let params = json!({"name": "desk__name", "arguments": {}, "_meta": meta});
            let mut events = host.stream(&json!(1), &params).await;
            let asked = events.next().await.unwrap();
            assert_eq!(
                (&asked["method"], &asked["params"]["message"]),
                (&json!("elicitation/create"), &json!("Who are you?"))
            );
            assert_eq!(asked["params"]["requestedSchema"]["required"], json!(["name"]));
            let mut answer = answer.clone();
            answer["jsonrpc"] = "2.0".into();
            answer["id"] = asked["id"].clone();
            assert_eq!(host.send(&answer).await.status(), 202);
            let result = events.next().await.unwrap()["result"].clone();
            assert_eq!(texts(&result), [expected]);
            assert_eq!(events.next().await, None);
        }
    }
}

#[tokio::test]
async fn whoever_cannot_be_asked_is_told_how_to_answer_and_another_connection_does() {
    let node = Node::start().await;
    for version in ["2025-11-25", STATELESS] {
        let host = node.open(version, json!({})).await;
        let result = host.call("desk__name", &json!({})).await;
        assert!(result.get("isError").is_none(), "{result}");
        let task = result["_meta"]["bobbinet/task"]["id"].as_str().unwrap().to_owned();
        assert_eq!(result["_meta"]["bobbinet/task"]["state"], "input-required");
        let [question, help] = texts(&result)[..] else { panic!("{result}") };
        assert!(question == "Who are you?" && help.contains(&task) && help.contains("mesh_task"), "{help}");
        assert!(help.contains(r#""required":["name"]"#), "what an answer must have is said: {help}");
        let later = node.open("2025-03-26", json!({})).await;
        let answered = later
            .call(
                "mesh_task",
                &json!({"task": task, "action": "answer", "answer": {"action": "accept", "content": {"name": "Bob"}}}),
            )
            .await;
        assert_eq!(texts(&answered), ["hello Bob"]);
        let shown = host.call("mesh_task", &json!({"task": task, "agent": "desk"})).await;
        assert_eq!(texts(&shown), ["hello Bob"]);
    }
}

#[tokio::test]
async fn without_sessions_a_question_is_a_result_and_its_answer_another_request() {
    let node = Node::start().await;
    let host = node.host(STATELESS, json!({"elicitation": {}}));
    let params = json!({"name": "desk__name", "arguments": {}});
    let asks = host.ask("tools/call", &params).await["result"].clone();
    assert_eq!(asks["resultType"], "input_required");
    let request = &asks["inputRequests"]["answer"];
    assert_eq!((&request["method"], &request["params"]["mode"]), (&json!("elicitation/create"), &json!("form")));
    let retry = |answers: Value| {
        let mut params = params.clone();
        params["requestState"] = asks["requestState"].clone();
        params["inputResponses"] = answers;
        params
    };
    let again = host.ask("tools/call", &retry(json!({}))).await["result"].clone();
    assert_eq!(again["resultType"], "input_required", "what is missing is asked for again");
    let mut foreign = retry(json!({}));
    foreign["requestState"] = "0197b1b2-0000-7000-8000-000000000000:3".into();
    assert!(host.ask("tools/call", &foreign).await["error"]["code"].is_i64());
    let answers = json!({"answer": {"action": "accept", "content": {"name": "Ann"}}});
    let result = host.ask("tools/call", &retry(answers.clone())).await["result"].clone();
    assert_eq!((texts(&result), &result["resultType"]), (vec!["hello Ann"], &json!("complete")));
    let result = host.ask("tools/call", &retry(answers)).await["result"].clone();
    assert_eq!(texts(&result), ["hello Ann"], "an answer that comes again changes nothing");
}
