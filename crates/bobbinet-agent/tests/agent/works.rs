//! What a run can do with its task.

use serde_json::{Value, json};

use crate::clerk::{Office, message, state, words};

#[tokio::test]
async fn a_message_is_answered_without_a_task() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path()).await;
    let mut params = message("hi");
    params["configuration"] = json!({ "returnImmediately": true });
    let result = office.result("SendMessage", params).await;
    assert_eq!((&result["message"]["parts"], &result["task"]), (&json!([{ "text": "hi yourself" }]), &Value::Null));
    assert_eq!(office.stream("hi").await, ["says hi yourself"]);
    assert_eq!(office.result("ListTasks", json!({})).await["totalSize"], 0, "nothing is kept of it");
    office.serving.stop().await;
}

#[tokio::test]
async fn an_artifact_comes_in_pieces_with_words_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path()).await;
    let expected = [
        "task SUBMITTED",
        "WORKING ",
        "WORKING at 1 1",
        "numbers 1",
        "WORKING at 2 2",
        "numbers 2 append",
        "numbers 3 append lastChunk",
        "COMPLETED counted",
    ];
    assert_eq!(office.stream("count 3").await, expected);
    let task = office.send("count 3").await;
    let expected = json!([
        { "artifactId": "numbers", "name": "Numbers", "parts": [{ "text": "1" }, { "text": "2" }, { "text": "3" }] }
    ]);
    assert_eq!((state(&task), words(&task), &task["artifacts"]), ("COMPLETED", "counted", &expected));
    office.serving.stop().await;
}

#[tokio::test]
async fn a_skill_that_is_named_and_is_not_there_is_refused_however_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path()).await;
    for named in [json!("no-such"), json!(""), json!("a b"), json!({ "skill": "../x" }), json!({ "skill": 7 })] {
        let mut params = message("several");
        params["message"]["metadata"] = json!({ "urn:bobbinet:skills:v1": named });
        let task = office.result("SendMessage", params).await["task"].clone();
        assert_eq!(state(&task), "REJECTED", "{named}");
    }
    office.serving.stop().await;
}

#[tokio::test]
async fn a_task_has_several_artifacts() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path()).await;
    let task = office.send("several").await;
    let expected = json!([
        { "artifactId": "one", "parts": [{ "text": "1" }] },
        { "artifactId": "answer", "parts": [{ "text": "3" }] },
        { "artifactId": "two", "parts": [{ "raw": "Mg==", "mediaType": "text/plain", "filename": "2.txt" }] },
    ]);
    assert_eq!(task["artifacts"], expected);
    office.serving.stop().await;
}

#[tokio::test]
async fn a_run_asks_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path()).await;
    let asked = office.send("ask").await;
    assert_eq!((state(&asked), words(&asked)), ("INPUT_REQUIRED", "Who are you?"));
    let again = office.reply(&asked, "Ada").await;
    assert_eq!((state(&again), words(&again)), ("INPUT_REQUIRED", "Why?"));
    let done = office.reply(&asked, "I can").await;
    assert_eq!(state(&done), "COMPLETED");
    assert_eq!(done["artifacts"][0]["parts"][0]["text"], "Ada, because I can");

    let asked = office.send("visit").await;
    assert_eq!((state(&asked), words(&asked)), ("AUTH_REQUIRED", "Log in first."));
    assert_eq!(asked["status"]["message"]["parts"][1]["url"], "https://login.example");
    let done = office.reply(&asked, "done").await;
    assert_eq!(done["artifacts"][0]["parts"][0]["text"], "you say done");
    office.serving.stop().await;
}

#[tokio::test]
async fn each_answer_is_taken_for_itself_though_all_have_one_message_id() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path()).await;
    let asked = office.send("ask").await;
    let reply = |text: &str| {
        let mut params = message(text);
        params["message"]["taskId"] = asked["id"].clone();
        params
    };
    let again = office.result("SendMessage", reply("Ada")).await["task"].clone();
    assert_eq!(words(&again), "Why?");
    let done = office.result("SendMessage", reply("I can")).await["task"].clone();
    assert_eq!(done["artifacts"][0]["parts"][0]["text"], "Ada, because I can");
    office.serving.stop().await;
}

#[tokio::test]
async fn a_run_that_is_begun_again_has_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path()).await;
    let asked = office.send("ask").await;
    let again = office.reply(&asked, "Ada").await;
    assert_eq!(words(&again), "Why?");
    office.serving.stop().await;

    let office = Office::open(folder.path()).await;
    let found = office.result("GetTask", json!({ "id": asked["id"] })).await;
    assert_eq!((state(&found), words(&found)), ("INPUT_REQUIRED", "Why?"));
    let done = office.reply(&asked, "I can").await;
    assert_eq!(state(&done), "COMPLETED");
    assert_eq!(done["artifacts"][0]["parts"][0]["text"], "Ada, because I can");
    office.serving.stop().await;
}

#[tokio::test]
async fn a_run_says_why_it_did_not_do_it() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path()).await;
    let code = |task: &Value| task["status"]["message"]["parts"][1]["data"]["code"].clone();
    let task = office.send("reject").await;
    assert_eq!((state(&task), words(&task), code(&task)), ("REJECTED", "not my job", json!("not-mine")));
    let task = office.send("fail").await;
    assert_eq!((state(&task), words(&task), code(&task)), ("FAILED", "it broke", json!("failed")));
    // What an error says may not be for callers.
    let task = office.send("count many").await;
    assert_eq!((state(&task), words(&task)), ("FAILED", "the agent failed inside"));
    assert!(!task.to_string().contains("invalid digit"), "{task}");
    office.serving.stop().await;
}

#[tokio::test]
async fn a_run_learns_that_its_task_was_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path()).await;
    let mut params = message("wait");
    params["configuration"] = json!({ "returnImmediately": true });
    let task = office.result("SendMessage", params).await["task"].clone();
    let canceled = office.result("CancelTask", json!({ "id": task["id"] })).await;
    assert_eq!(state(&canceled), "CANCELED");
    // It would wait for a run that does not end.
    office.serving.stop().await;
}

#[tokio::test]
async fn a_message_names_its_skill() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path()).await;
    let named = async |skill: &str| {
        let mut params = message("skill");
        params["message"]["metadata"] = json!({ "urn:bobbinet:skills:v1": { "skill": skill } });
        office.result("SendMessage", params).await["task"].clone()
    };
    let text = |task: &Value| task["artifacts"][0]["parts"][0]["text"].clone();
    assert_eq!(text(&named("redo").await), r#"Some("redo")"#);
    assert_eq!(text(&named("undo").await), r#"Some("undo")"#, "also one of the extended card");
    assert_eq!(text(&office.send("skill").await), "None", "there are several");
    assert_eq!(state(&named("other").await), "REJECTED");
    office.serving.stop().await;
}
