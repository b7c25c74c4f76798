//! A language model as an agent, with a scripted one behind it: what it says, what it costs, and that it asks when the budget is spent.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::node::{Agent, Node, PATIENCE, Started, data_message, log_of, repository};

/// A scripted model. Killed when dropped.
struct Model {
    _process: Started,
    port: u16,
}

impl Model {
    fn start(folder: &std::path::Path, script: &Value) -> Self {
        let path = folder.join("script.json");
        std::fs::write(&path, script.to_string()).unwrap();
        let mut child = Command::new("python3")
            .arg(repository("tests/fixtures/model.py"))
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { _process: Started(child), port: line.trim().parse().unwrap() }
    }
}

const FLOW: &str = r#"
document: { dsl: '1.0.3', namespace: tests, name: essay, version: '1.0.0' }
do:
  - draft: { call: writer.think, with: { prompt: '${ "Write about " + .topic }' } }
  - judge:
      call: writer.think
      with: { prompt: '${ "Judge: " + . }', schema: { type: object, properties: { good: { type: boolean } } } }
"#;

async fn until(agent: &Agent, http: &reqwest::Client, task: &str, state: &str) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let known = agent.call(http, "GetTask", &json!({ "id": task })).await.unwrap();
        if known["status"]["state"] == state {
            return known;
        }
        assert!(Instant::now() < end, "it does not come to {state}: {known}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_model_thinks_in_a_flow_and_over_its_budget_the_flow_asks() {
    let folder = tempfile::tempdir().unwrap();
    let script = json!([
        { "when": "^Judge", "say": "{\"good\": true}" },
        { "when": "about weaving", "say": "A bobbin holds the thread.", "fail": 1 },
    ]);
    let model = Model::start(folder.path(), &script);
    std::fs::write(folder.path().join("essay.yaml"), FLOW).unwrap();
    // The first prompt spends all of it.
    let config = format!(
        "node: {{ listen: \"127.0.0.1:0\", data: ./data }}\n\
         agents:\n  writer: {{ model: {{ url: \"http://127.0.0.1:{}/v1\", name: any, key: secret, budget: 5 }} }}\n\
         flows: {{ essay: ./essay.yaml }}\n",
        model.port
    );
    std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
    let node = Node::start(folder.path(), &[]).unwrap_or_else(|died| panic!("{died:?}: {}", log_of(folder.path())));
    let (http, essay, writer) = (reqwest::Client::new(), node.agent("essay"), node.agent("writer"));

    let begin = json!({
        "message": data_message("m1", &json!({ "topic": "weaving" })), "configuration": { "returnImmediately": true },
    });
    let sent = essay.call(&http, "SendMessage", &begin).await.unwrap();
    let task = sent["task"]["id"].as_str().unwrap().to_owned();
    let asks = until(&essay, &http, &task, "TASK_STATE_INPUT_REQUIRED").await;
    let text = asks["status"]["message"]["parts"][0]["text"].as_str().unwrap();
    assert!(text.contains("have spent 8 tokens") && text.contains(&task), "{text}");

    let mut answer = data_message("m2", &json!({ "go": true }));
    answer["taskId"] = json!(task);
    essay.call(&http, "SendMessage", &json!({ "message": answer })).await.unwrap();
    let ended = until(&essay, &http, &task, "TASK_STATE_COMPLETED").await;
    assert_eq!(ended["artifacts"][0]["parts"][0]["data"], json!({ "good": true }));

    // What a thought cost stands with it.
    let tasks = writer.call(&http, "ListTasks", &json!({ "includeArtifacts": true })).await.unwrap();
    let usages: Vec<u64> = tasks["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["artifacts"][0]["metadata"]["usage"]["totalTokens"].as_u64().unwrap())
        .collect();
    assert_eq!(usages.iter().sum::<u64>(), 8 + 8, "{tasks}");
    // The key went to the model, and nowhere else.
    drop(node);
    let kept = std::fs::read_dir(folder.path().join("data/store")).unwrap();
    for file in kept.flatten().filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"), "{:?} has the key", file.path());
    }
}
