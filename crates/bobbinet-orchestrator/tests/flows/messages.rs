//! Flows that come in messages: checked first, bounded, and nobody else's trouble.

use std::sync::Arc;

use bobbinet_core::State;
use bobbinet_store::MemoryStore;
use serde_json::{Value, json};

use crate::bench::{Bench, document, output, soon, status};

async fn bench() -> Bench {
    let other = document("other", "do:\n- a: { call: tools.echo, with: { well: true } }\n");
    Bench::open(Arc::new(MemoryStore::new()), &Arc::default(), &[("other", other)]).await
}

/// A flow of these steps, as data.
fn flow(steps: &Value) -> Value {
    json!({
        "flow": { "document": { "dsl": "1.0.3", "namespace": "m", "name": "sent", "version": "1.0.0" }, "do": steps },
        "input": { "n": 7 },
    })
}

#[tokio::test]
async fn a_flow_in_a_message_runs_with_its_input() {
    let bench = bench().await;
    let sent = flow(&json!([{ "a": { "call": "tools.echo", "with": { "n": "${ .n * 6 }" } } }]));
    let task = bench.settled("sent", &sent).await;
    assert_eq!(output(&task), json!({ "n": 42 }));
    assert_eq!(task.children.len(), 1);
    let as_skill = json!({ "skill": "run", "arguments": sent });
    assert_eq!(bench.output("sent", &as_skill).await, json!({ "n": 42 }));
    let text = document("text", "do:\n- a: { set: { x: 1 } }\n");
    assert_eq!(bench.output("sent", &json!({ "flow": text })).await, json!({ "x": 1 }));
    bench.stop().await;
}

#[tokio::test]
async fn what_a_message_must_not_say_is_refused_before_anything_is_called() {
    let bench = bench().await;
    let echo = json!({ "a": { "call": "tools.echo", "with": {} } });
    let get = |uri: &str| json!({ "b": { "call": "http", "with": { "method": "get", "endpoint": { "uri": uri } } } });
    let mut with_secret = flow(&json!([{ "a": { "set": { "x": 1 } } }]));
    with_secret["flow"]["use"] = json!({ "secrets": ["token"] });
    let mut deep = json!({ "s": { "set": { "x": 1 } } });
    for _ in 0..60 {
        deep = json!({ "d": { "do": [deep] } });
    }
    let large = "x".repeat(10 << 20);
    let cases = [
        ("no flow", json!({ "hello": 1 }), "send the flow as data"),
        (
            "a policy that denies a later step",
            flow(&json!([echo, { "b": { "call": "tools.hold", "with": {} } }])),
            "/do/1/b",
        ),
        ("a computed address", flow(&json!([echo, get("${ .address }")])), "computes its address"),
        ("a host that is filled in", flow(&json!([echo, get("https://{host}/x")])), "computes its address"),
        (
            "an agent of the node's own",
            flow(&json!([echo, { "b": { "call": "hidden.echo", "with": {} } }])),
            "no agent is called",
        ),
        ("a secret", with_secret, "reads none"),
        ("ten megabytes", flow(&json!([{ "a": { "set": { "x": large } } }])), "at most 262144 bytes"),
        ("deep nesting", flow(&json!([deep])), ""),
        ("a process", flow(&json!([{ "a": { "run": { "shell": { "command": "id" } } } }])), ""),
        ("a typing error", flow(&json!([{ "a": { "cal": "tools.echo" } }])), ""),
        ("jq that is none", flow(&json!([{ "a": { "set": { "x": "${ .a[ }" } } }])), ""),
    ];
    for (what, sent, said) in cases {
        let task = bench.settled("sent", &sent).await;
        assert_eq!(task.state, State::Rejected, "{what}: {}", status(&task));
        assert!(status(&task).contains(said), "{what}: {}", status(&task));
        assert!(task.children.is_empty(), "{what}");
    }
    assert_eq!(bench.tools.count("echo"), 0);
    bench.stop().await;
}

#[tokio::test]
async fn what_is_endless_is_bounded_and_others_go_on() {
    let bench = bench().await;
    let set = |expression: &str| json!([{ "a": { "set": { "x": expression } } }]);
    let item = json!([{ "i": { "set": { "x": 1 } } }]);
    let cases = [
        ("endless recursion", set("${ def f: f; f }")),
        ("an endless loop", set("${ until(false; .) }")),
        ("a large range", set("${ [range(1e12)] }")),
        ("doubling", set("${ reduce range(60) as $i (\"x\"; . + .) }")),
        ("a million items", json!([{ "a": { "for": { "each": "i", "in": "[range(1000000)]" }, "do": item } }])),
        (
            "a loop without a way out",
            json!([{ "a": { "set": { "x": 1 } } }, { "b": { "set": { "x": 1 }, "then": "a" } }]),
        ),
        ("a secret that is not there", set("${ $secrets.token }")),
    ];
    for (what, steps) in cases {
        let begun = bench.begin("sent", &flow(&steps));
        // Meanwhile.
        assert_eq!(bench.output("other", &json!({})).await, json!({ "well": true }), "{what}");
        let task = soon(begun.settled()).await.unwrap();
        assert!(matches!(task.state, State::Failed | State::Rejected), "{what} is {:?}", task.state);
        assert!(!status(&task).is_empty(), "{what}");
    }
    assert_eq!(bench.output("other", &json!({})).await, json!({ "well": true }));
    bench.stop().await;
}

/// Each has a share of what its parent may begin, so the chain has an end.
#[tokio::test]
async fn a_flow_that_calls_itself_comes_to_an_end() {
    let bench = bench().await;
    let text =
        document("again", "do:\n- a: { call: sent.run, with: { flow: '${ .me }', input: { me: '${ .me }' } } }\n");
    let task = bench.settled("sent", &json!({ "flow": text, "input": { "me": text } })).await;
    assert_eq!(task.state, State::Failed);
    assert!(status(&task).contains("descendants_max"), "{}", status(&task));
    bench.stop().await;
}

#[tokio::test]
async fn arguments_are_asked_about_when_they_are_known() {
    let bench = bench().await;
    let steps = json!([{ "a": { "call": "tools.echo", "with": {} } }, { "b": { "call": "tools.fail", "with": { "key": "${ \"sec\" + \"ret\" }" } } }]);
    let task = bench.settled("sent", &flow(&steps)).await;
    assert_eq!(task.state, State::Failed);
    assert!(status(&task).contains("that is secret"), "{}", status(&task));
    assert_eq!((bench.tools.count("echo"), bench.tools.count("fail")), (1, 0));
    bench.stop().await;
}
