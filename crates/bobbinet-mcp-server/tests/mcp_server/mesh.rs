use serde_json::json;
use tokio::time::timeout;

use crate::host::{Node, PATIENCE, texts};

#[tokio::test]
async fn what_is_no_tool_call_has_tools_of_its_own() {
    let node = Node::start().await;
    let host = node.open("2025-11-25", json!({})).await;
    let agents = host.call("mesh_agents", &json!({})).await;
    let listed = agents["structuredContent"]["agents"].as_array().unwrap();
    let names: Vec<&str> = listed.iter().map(|agent| agent["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["dead", "desk", "talker"]);
    assert_eq!(listed[0]["unavailable"], "its server is gone");
    assert_eq!(listed[2]["tools"], json!(["talker"]));
    let said = host.call("mesh_send", &json!({"agent": "talker", "message": "hi", "context": "ours"})).await;
    assert_eq!(texts(&said), ["you said: hi"]);
    assert_eq!(said["_meta"]["bobbinet/task"]["context"], "ours");
    let said = host.call("mesh_send", &json!({"agent": "desk", "skill": "echo", "data": {"text": "ho"}})).await;
    assert_eq!(texts(&said), ["ho"]);
    for arguments in [json!({}), json!({"agent": "talker"}), json!({"agent": "nobody", "message": "hi"})] {
        assert_eq!(host.call("mesh_send", &arguments).await["isError"], true, "{arguments}");
    }
    for arguments in
        [json!({"action": "cancel"}), json!({"task": "x"}), json!({"task": "x", "agent": "desk", "action": "burn"})]
    {
        assert_eq!(host.call("mesh_task", &arguments).await["isError"], true, "{arguments}");
    }
}

#[tokio::test]
async fn a_host_comes_back_for_its_task() {
    let node = Node::start().await;
    let host = node.open("2025-11-25", json!({})).await;
    let begin = || async {
        let begun = host.call("mesh_send", &json!({"agent": "desk", "skill": "hang", "data": {}, "wait": false})).await;
        timeout(PATIENCE, node.desk.hangs.notified()).await.unwrap();
        assert!(texts(&begun)[0].contains("mesh_task"), "{begun}");
        begun["_meta"]["bobbinet/task"]["id"].as_str().unwrap().to_owned()
    };
    let task = begin().await;
    let later = node.open("2025-06-18", json!({})).await;
    // Whoever has lost the answer that named it finds it among his own.
    let newest = later.call("mesh_task", &json!({})).await;
    let first = &newest["structuredContent"]["tasks"][0];
    let known = (&first["id"], &first["agent"], &first["skill"], &first["state"]);
    assert_eq!(known, (&json!(task), &json!("desk"), &json!("hang"), &json!("working")), "{newest}");
    assert!(texts(&newest)[0].contains(&task), "{newest}");
    let shown = later.call("mesh_task", &json!({"task": task})).await;
    assert_eq!(shown["_meta"]["bobbinet/task"]["state"], "working");
    let arguments = json!({"task": task, "wait": true});
    let waiting = later.call("mesh_task", &arguments);
    let going = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        node.desk.go.notify_one();
    };
    let (waited, ()) = tokio::join!(waiting, going);
    assert_eq!(texts(&waited), ["went on"]);
    let task = begin().await;
    let canceled = later.call("mesh_task", &json!({"task": task, "action": "cancel"})).await;
    assert_eq!(canceled["structuredContent"]["state"], "canceled");
    let mut stranger = node.host_of("ann", "2025-11-25", json!({}));
    stranger.initialize().await;
    assert_eq!(stranger.call("mesh_task", &json!({})).await["structuredContent"]["tasks"], json!([]));
    assert_eq!(stranger.call("mesh_task", &json!({"task": task})).await["isError"], true);
}
