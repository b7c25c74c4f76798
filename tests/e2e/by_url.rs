//! `call: a2a`: flows that call agents by their URLs, in the words of A2A 0.3: one of the official Python SDK, and a node of ours.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    node::{Agent, data_message, free_port},
    peers::{Mesh, http, python_shouter, settled, until, wait_until},
};

/// Both agents in turn; the first one asks, and works for a while.
fn flow(python: u16, ledger: &Agent) -> String {
    format!(
        r#"
document: {{ dsl: '1.0.3', namespace: tests, name: far, version: '1.0.0' }}
do:
  - ask:
      call: a2a
      with:
        method: message/send
        agentCard: {{ endpoint: 'http://127.0.0.1:{python}/.well-known/agent-card.json' }}
        parameters: {{ message: {{ parts: [ {{ kind: text, text: ask }} ] }} }}
      export: {{ as: '{{ ask: {{ kind, state: .status.state, text: .artifacts[0].parts[0].text, id }} }}' }}
  - get:
      call: a2a
      with:
        method: tasks/get
        server: 'http://127.0.0.1:{python}'
        parameters: {{ id: '${{ $context.ask.id }}' }}
      export: {{ as: '$context + {{ get: .status.state }}' }}
  - wait:
      call: a2a
      with:
        method: message/stream
        server: 'http://127.0.0.1:{python}'
        parameters: {{ message: {{ parts: [ {{ kind: text, text: wait 4 }} ] }} }}
      export: {{ as: '$context + {{ wait: [.[] | .kind] }}' }}
  - ledger:
      call: a2a
      with:
        method: message/send
        server: {{ uri: '{ledger}', authentication: {{ bearer: {{ token: '{token}' }} }} }}
        parameters:
          message: {{ parts: [ {{ kind: data, data: {{ skill: post, arguments: {{ id: by-url, ms: 10 }} }} }} ] }}
      export: {{ as: '$context + {{ ledger: .status.state }}' }}
  - last: {{ set: '${{ $context }}' }}
"#,
        ledger = ledger.url,
        token = ledger.token,
    )
}

#[tokio::test]
async fn a_flow_calls_agents_by_their_urls_and_goes_on_with_their_very_tasks_after_a_crash() {
    let mesh = Mesh::new();
    let python = free_port();
    let _python = python_shouter(&mesh, python);
    let back = mesh.start("back");
    std::fs::write(mesh.path("front/far.yaml"), flow(python, &back.agent("ledger"))).unwrap();
    mesh.configure("flows: { far: ./far.yaml }\n");
    let front = mesh.start("front");
    let http = http();
    let agent = front.agent("far");
    let message = data_message("go", &json!({}));
    let params = json!({"message": message, "configuration": {"returnImmediately": true}});
    let sent = agent.call(&http, "SendMessage", &params).await.unwrap();
    let task = sent["task"]["id"].as_str().unwrap().to_owned();
    // What the agent asks, the flow asks; the answer goes down.
    let asked = settled(&agent, &http, &task).await;
    assert_eq!(asked["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{asked}\n{}", mesh.logs());
    assert_eq!(asked["status"]["message"]["parts"][0]["text"], "how loud?", "{asked}");
    let answer = json!({"messageId": "a", "role": "ROLE_USER", "taskId": task, "parts": [{"text": "very"}]});
    let answer = json!({"message": answer, "configuration": {"returnImmediately": true}});
    agent.call(&http, "SendMessage", &answer).await.unwrap();
    let log = mesh.path("py.log");
    let took = || std::fs::read_to_string(&log).unwrap_or_default().matches("took wait 4").count();
    wait_until("the message", || took() == 1).await;
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    front.kill();
    let front = mesh.start("front");
    let agent = front.agent("far");
    let done =
        until(&agent, &http, &task, |state| !matches!(state, "TASK_STATE_WORKING" | "TASK_STATE_SUBMITTED")).await;
    assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done}\n{}", mesh.logs());
    let output = &done["artifacts"][0]["parts"][0]["data"];
    assert_eq!((&output["ask"]["kind"], &output["ask"]["state"]), (&json!("task"), &json!("completed")), "{output}");
    assert_eq!((&output["ask"]["text"], &output["get"]), (&json!("VE"), &json!("completed")), "{output}");
    // After the crash its events begin with the task as it stood.
    let kinds: Vec<&str> = output["wait"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(kinds[0] == "task" && kinds.contains(&"status-update"), "{output}");
    assert_eq!(output["ledger"], "completed");
    assert_eq!((took(), mesh.executions("by-url")), (1, 1));
    assert!(front.stop().success());
}
