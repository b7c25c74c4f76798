//! The crash matrix of flows: a flow over two nodes, killed at every kind of step boundary and in the middle of steps, on the node that
//! runs it and on its peer. It comes to the same output, what a step has done is done once, and no step that has ended is begun again.
//!
//! Short by default: 20 kills. `BOBBINET_LONG=1`: 200.

use std::{
    collections::BTreeMap,
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use bobbinet_store::failpoint::POINTS;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    node::{Agent, DiedEarly, Node, data_message, log_of, repository},
    peers::Mesh,
};

/// Flows that run at the same time.
const AT_ONCE: usize = 3;

/// How long a flow may be stuck once nobody is killed any more.
const SETTLE: Duration = Duration::from_secs(30);

/// How long a node may take to come to the point at which it is to die.
const POINT_COMES: Duration = Duration::from_secs(60);

const FLOW: &str = r#"
document: { dsl: '1.0.3', namespace: tests, name: long, version: '1.0.0' }
do:
  - look: { call: local.look, with: { id: '${ $workflow.input.id + "/look" }', ms: 20 } }
  - set: { call: local.set, with: { id: '${ $workflow.input.id + "/set" }', ms: 20 } }
  - put: { call: local.put, with: { id: '${ $workflow.input.id + "/put" }', ms: 20 }, export: { as: '{ put: . }' } }
  - fork:
      fork:
        branches:
          - near: { call: local.put, with: { id: '${ $workflow.input.id + "/near" }', ms: 60 } }
          - far: { call: far.put, with: { id: '${ $workflow.input.id + "/far" }', ms: 60 } }
          - late:
              do:
                - pause: { wait: { milliseconds: 80 } }
                - then: { call: local.put, with: { id: '${ $workflow.input.id + "/late" }', ms: 10 } }
      export: { as: '$context + { fork: . }' }
  - loop:
      for: { each: n, in: '[0, 1, 2]' }
      do:
        - item: { call: local.put, with: { id: '${ $workflow.input.id + "/item-" + ($n | tostring) }', ms: 10 } }
      export: { as: '$context + { loop: . }' }
  - caught:
      try:
        - tried:
            try: [ { no: { call: local.none, with: {} } } ]
            catch: { retry: { delay: { milliseconds: 20 }, backoff: { constant: {} }, limit: { attempt: { count: 3 } } } }
      catch: { as: error, do: [ { note: { set: { caught: '${ $error.status }' } } } ] }
      export: { as: '$context + { caught: .caught }' }
  - ask: { call: local.ask, with: { id: '${ $workflow.input.id + "/ask" }', ms: 10 } }
  - pause: { wait: { milliseconds: 100 } }
  - peer: { call: far.put, with: { id: '${ $workflow.input.id + "/peer" }', ms: 30 }, export: { as: '$context + { peer: . }' } }
  - inner:
      run: { workflow: { namespace: tests, name: inner, version: '1.0.0', input: { id: '${ $workflow.input.id }' } } }
      export: { as: '$context + { inner: . }' }
  - post: { call: local.post, with: { id: '${ $workflow.input.id + "/post" }', ms: 30 } }
  - last: { set: '${ $context + { id: $workflow.input.id } }' }
"#;

const INNER: &str = r#"
document: { dsl: '1.0.3', namespace: tests, name: inner, version: '1.0.0' }
do:
  - one: { call: local.put, with: { id: '${ .id + "/inner-one" }', ms: 10 }, export: { as: '{ one: . }' } }
  - two: { call: far.put, with: { id: '${ $workflow.input.id + "/inner-two" }', ms: 10 } }
  - both: { set: { one: '${ $context.one }', two: '${ . }' } }
"#;

/// The steps that write once, with the tool that does, each with where its ledger is.
const ONCE: [(&str, &str); 12] = [
    ("put", "local"),
    ("near", "local"),
    ("far", "far"),
    ("late", "local"),
    ("item-0", "local"),
    ("item-1", "local"),
    ("item-2", "local"),
    ("peer", "far"),
    ("inner-one", "local"),
    ("inner-two", "far"),
    ("post", "local"),
    ("ask", "local"),
];

/// The steps in their order, on each node; those in one line may come in any.
const ORDER: [&[&str]; 11] = [
    &["look"],
    &["set"],
    &["put"],
    &["near", "far", "late"],
    &["item-0"],
    &["item-1"],
    &["item-2"],
    &["ask"],
    &["peer"],
    &["inner-one", "inner-two"],
    &["post"],
];

fn expected(id: &str) -> Value {
    let put = |step: &str| format!("put {id}/{step}");
    json!({
        "id": id, "put": put("put"), "fork": [put("near"), put("far"), put("late")], "loop": put("item-2"), "caught": 400,
        "peer": put("peer"), "inner": { "one": put("inner-one"), "two": put("inner-two") },
    })
}

/// The two nodes, and what was begun.
struct Matrix {
    mesh: Mesh,
    http: reqwest::Client,
    /// The flows that were acknowledged: their ids, and their tasks.
    begun: BTreeMap<String, String>,
    ended: BTreeMap<String, Value>,
    next: usize,
    /// No more are begun.
    is_closed: bool,
}

impl Matrix {
    fn new() -> Self {
        let mesh = Mesh::new();
        let (server, ledger) = (repository("tests/fixtures/ledger.py"), mesh.path("local.jsonl"));
        std::fs::write(mesh.path("front/long.yaml"), FLOW).unwrap();
        std::fs::write(mesh.path("front/inner.yaml"), INNER).unwrap();
        mesh.configure(&format!(
            "agents:\n  far: {{ a2a: \"{}/agents/ledger\" }}\n  local:\n    \
             mcp: {{ command: [python3, {server:?}, {ledger:?}] }}\n    \
             effects: {{ look: read-only, set: idempotent, put: keyed, post: at-most-once, ask: idempotent }}\n\
             flows: {{ long: ./long.yaml, inner: ./inner.yaml }}\n",
            mesh.url()
        ));
        Self {
            mesh,
            http: reqwest::Client::new(),
            begun: BTreeMap::new(),
            ended: BTreeMap::new(),
            next: 0,
            is_closed: false,
        }
    }

    fn start(&self, name: &str, crash_at: Option<&str>) -> Result<Node, DiedEarly> {
        let environment: Vec<(&str, &str)> = crash_at.iter().map(|at| ("BOBBINET_CRASH_AT", *at)).collect();
        Node::start(&self.mesh.path(name), &environment)
    }

    fn must_start(&self, name: &str) -> Node {
        self.start(name, None).unwrap_or_else(|died| panic!("{died:?}: {}", log_of(&self.mesh.path(name))))
    }

    /// Begins flows until so many are on their way, as far as the node answers.
    async fn begin(&mut self, flow: &Agent) {
        while !self.is_closed && self.begun.len() - self.ended.len() < AT_ONCE {
            let id = format!("f{}", self.next);
            let params = json!({
                "message": data_message(&format!("begin-{id}"), &json!({ "id": id })),
                "configuration": { "returnImmediately": true },
            });
            let request = flow.request(&self.http, "SendMessage", &params).header("Idempotency-Key", &id);
            let Ok(response) = request.send().await else { return };
            let Ok(answer) = response.json::<Value>().await else { return };
            let Some(task) = answer["result"]["task"]["id"].as_str() else { return };
            self.begun.insert(id, task.to_owned());
            self.next += 1;
        }
    }

    /// Looks at every flow that is on its way, and answers what is asked.
    async fn tend(&mut self, flow: &Agent) {
        let open: Vec<(String, String)> = self
            .begun
            .iter()
            .filter(|(id, _)| !self.ended.contains_key(*id))
            .map(|(a, b)| (a.clone(), b.clone()))
            .collect();
        for (id, task) in open {
            let Ok(known) = flow.call(&self.http, "GetTask", &json!({ "id": task })).await else { continue };
            match known["status"]["state"].as_str() {
                Some("TASK_STATE_INPUT_REQUIRED") => self.answer(flow, &id, &task, &known).await,
                Some("TASK_STATE_SUBMITTED" | "TASK_STATE_WORKING") | None => {}
                Some(_) => drop(self.ended.insert(id, known)),
            }
        }
    }

    async fn answer(&self, flow: &Agent, id: &str, task: &str, known: &Value) {
        let message = &known["status"]["message"];
        let parts = message["parts"].as_array().cloned().unwrap_or_default();
        let is_about_outcome = parts.iter().any(|part| part["data"]["type"] == "outcome");
        let answer = match is_about_outcome {
            // Whoever can look into the ledger knows.
            true if self.count("local", &format!("{id}/post")) > 0 => json!({ "outcome": "happened" }),
            true => json!({ "outcome": "retry" }),
            false => json!({ "go": true }),
        };
        let mut said = data_message(&format!("answer-{}", message["messageId"].as_str().unwrap()), &answer);
        said["taskId"] = json!(task);
        let params = json!({ "message": said, "configuration": { "returnImmediately": true } });
        // Answered again if it was not heard.
        let _ = flow.call(&self.http, "SendMessage", &params).await;
    }

    /// How often a step has written.
    fn count(&self, ledger: &str, id: &str) -> usize {
        let file = if ledger == "local" { "local.jsonl" } else { "ledger.jsonl" };
        self.lines(file).iter().filter(|line| *line == id).count()
    }

    /// Whose lines a ledger has, in their order.
    fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.mesh.path(file)).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|line| line["id"].as_str().unwrap().to_owned()).collect()
    }

    /// The steps that were run once more after one that comes after them: a step that had ended was begun again. What a tool drops as a
    /// repeat counts too.
    fn turned_back(&self, file: &str) -> Vec<String> {
        let mut furthest: BTreeMap<String, usize> = BTreeMap::new();
        let mut wrong = Vec::new();
        for line in self.lines(file) {
            let (id, step) = line.split_once('/').unwrap();
            let place = ORDER.iter().position(|steps| steps.contains(&step)).unwrap();
            let furthest = furthest.entry(id.to_owned()).or_default();
            if place < *furthest {
                wrong.push(format!("{line} was run after {:?}", ORDER[*furthest]));
            }
            *furthest = place.max(*furthest);
        }
        wrong
    }

    /// Works for so long.
    async fn work(&mut self, flow: &Agent, time: Duration, is_over: impl Fn(&Self) -> bool) {
        let end = Instant::now() + time;
        while Instant::now() < end && !is_over(self) {
            self.begin(flow).await;
            self.tend(flow).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn check(&self) {
        let mut wrong = Vec::new();
        for (id, task) in &self.ended {
            let output = &task["artifacts"][0]["parts"][0]["data"];
            if *output != expected(id) {
                wrong.push(format!("{id} gave {output}: {}", task["status"]));
            }
            for (step, ledger) in ONCE {
                let count = self.count(ledger, &format!("{id}/{step}"));
                // An idempotent tool that was in the middle may have begun again.
                let is_right = if step == "ask" { count >= 1 } else { count == 1 };
                if !is_right {
                    wrong.push(format!("{id}/{step} was run {count} times"));
                }
            }
        }
        for ledger in ["local.jsonl", "ledger.jsonl"] {
            let runs = format!("{ledger}.runs");
            assert!(self.lines(&runs).len() >= self.lines(ledger).len().max(1), "{runs} says what was run");
            wrong.extend(self.turned_back(&runs));
        }
        assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), self.mesh.logs());
    }
}

/// A life of a node that ends at a named point.
async fn one_life(matrix: &mut Matrix, name: &str, front: Option<&Node>, at: &str) {
    let status = match matrix.start(name, Some(at)) {
        Ok(mut life) => {
            let flow = front.unwrap_or(&life).agent("long");
            let end = Instant::now() + POINT_COMES;
            loop {
                matrix.work(&flow, Duration::from_millis(50), |_| false).await;
                match life.wait_for_death(Duration::ZERO) {
                    Some(status) => break status,
                    None => assert!(Instant::now() < end, "{name} never came to {at}\n{}", matrix.mesh.logs()),
                }
            }
        }
        // While it took up what the life before left.
        Err(DiedEarly(status)) => status,
    };
    assert_eq!(status.signal(), Some(9), "{name} at {at}: {}", matrix.mesh.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_over_two_nodes_survives_every_kill_of_either() {
    let is_long = std::env::var_os("BOBBINET_LONG").is_some();
    let kills = if is_long { 200 } else { 20 };
    let seed =
        std::env::var("BOBBINET_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| rand::rng().random());
    eprintln!("crash matrix: {kills} kills, BOBBINET_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut matrix = Matrix::new();
    let mut back = Some(matrix.must_start("back"));
    let mut front = Some(matrix.must_start("front"));
    for kill in 0..kills {
        let time = Duration::from_millis(dice.random_range(100..1_500));
        let flow = front.as_ref().unwrap().agent("long");
        matrix.work(&flow, time, |_| false).await;
        let name = if kill % 3 == 2 { "back" } else { "front" };
        let node = if name == "back" { &mut back } else { &mut front };
        node.take().unwrap().kill();
        // The next life ends at a named point, every other time.
        if kill % 2 == 0 {
            let at = format!("{}:{}", POINTS[kill / 2 % POINTS.len()], dice.random_range(1..25));
            one_life(&mut matrix, name, front.as_ref(), &at).await;
        }
        let node = if name == "back" { &mut back } else { &mut front };
        *node = Some(matrix.must_start(name));
    }
    let flow = front.as_ref().unwrap().agent("long");
    let begin = Instant::now();
    matrix.is_closed = true;
    matrix.work(&flow, SETTLE, |matrix| matrix.ended.len() == matrix.begun.len()).await;
    let stuck: Vec<_> = matrix.begun.keys().filter(|id| !matrix.ended.contains_key(*id)).collect();
    assert!(stuck.is_empty(), "stuck: {stuck:?}\n{}", matrix.mesh.logs());
    eprintln!("crash matrix: {} flows ended, settled in {:?}", matrix.ended.len(), begin.elapsed());
    assert!(matrix.ended.len() >= kills / 4, "{} flows came to their end", matrix.ended.len());
    matrix.check();
}
