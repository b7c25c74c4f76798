//! From messages to calls, over several turns.

use crate::lab::{EXTENSION, Lab, say, view};
use bobbinet_core::{Json, Message, Part};

/// What is said in turn, and how the task stands at the end: the beginning of its view.
async fn check(lab: &Lab, mode: &str, turns: &[&str], expected: &str) {
    let mut task = lab.send(mode, say(turns[0])).await;
    for turn in &turns[1..] {
        assert!(task.state.is_interrupted(), "{turns:?}: before {turn}: {}", view(&task));
        task = lab.reply(mode, &task.id, say(turn)).await;
    }
    assert!(view(&task).starts_with(expected), "{turns:?}: {}", view(&task));
}

#[tokio::test]
async fn messages_become_calls() {
    let lab = Lab::new(&["good", "single"]).await.ready().await;
    let three = r#"completed: {"sum": 3}"#;
    let sum = ["good", three];
    for (turns, [mode, expected]) in [
        (&["sum a=1 b=2"][..], sum),
        (&["/sum {\"a\":1,\"b\":2}"], sum),
        (&[r#"data:{"skill":"sum","arguments":{"a":1,"b":2}}"#], sum),
        (&[r#"data:{"tool":"sum","a":1,"b":2}"#], sum),
        (&[r#"{"name":"sum","params":{"a":1,"b":2}}"#], sum),
        (&["echo hello world"], ["good", "completed: hello world"]),
        (&["echo text='a b'"], ["good", "completed: a b"]),
        (&["anything at all"], ["single", "completed: anything at all"]),
        (&[r#"data:{"text":"plain data"}"#], ["single", "completed: plain data"]),
        // What is missing is asked for.
        (&["sum"], ["good", "input-required: `sum` needs `a` (number): The first number, `b` (number)."]),
        (&["sum", "a=1 b=2"], sum),
        (&["sum", "a=1", "2"], sum),
        (&["sum a=1", "2"], sum),
        (&["sum a=1", r#"data:{"b":2}"#], sum),
        (&["sum a=1", r#"data:{"arguments":{"b":2}}"#], sum),
        (&["sum a=1", "sum a=1 b=2"], sum),
        (&["sum a=1", "x"], ["good", "input-required: That does not fit: b:"]),
        (&["sum a=1", "x", "2"], sum),
        (&["sum", "no idea"], ["good", "input-required: That cannot be read as arguments of `sum`."]),
        (&["help"], ["good", "input-required: Which skill of `good`"]),
        (&["smu a=1"], ["good", "input-required: Which skill of `good`, with which arguments? Did you mean `sum`?"]),
        (&["help", "sum", "a=1 b=2"], sum),
        (&["help", "sum a=1 b=2"], sum),
        (&[r#"data:{"a":1,"b":2}"#, "sum"], sum),
        (
            &["help", "smu"],
            ["good", "input-required: Which skill of `good`, with which arguments? Did you mean `sum`?"],
        ),
        (&["help", "echo hi"], ["good", "completed: hi"]),
        // A program is told that it is wrong.
        (&[r#"data:{"skill":"sum","arguments":{"a":1}}"#], ["good", "rejected: bad-arguments"]),
        (&[r#"data:{"skill":"sum","arguments":{"a":1,"b":"x"}}"#], ["good", "rejected: bad-arguments"]),
        (&["sum a=1 b=x"], ["good", "rejected: bad-arguments"]),
        (&[r#"data:{"skill":"smu","arguments":{}}"#], ["good", "rejected: unknown-skill"]),
        (&["data:7"], ["single", "rejected: bad-arguments"]),
    ] {
        check(&lab, mode, turns, expected).await;
    }
    lab.close().await;
}

#[tokio::test]
async fn a_fault_points_to_its_place_and_names_what_is_near() {
    let lab = Lab::new(&["good"]).await.ready().await;
    let details = |part: &'static str| {
        let lab = &lab;
        async move {
            let task = lab.send("good", say(part)).await;
            task.status_message.as_ref().unwrap().data().unwrap().to_value()["details"].clone()
        }
    };
    let bad = details(r#"data:{"skill":"sum","arguments":{"b":"x"}}"#).await;
    let paths =
        bad["errors"].as_array().unwrap().iter().map(|error| error["path"].as_str().unwrap()).collect::<Vec<_>>();
    assert!(paths.contains(&"/a") && paths.contains(&"/b"), "{bad}");
    let unknown = details(r#"data:{"skill":"smu","arguments":{}}"#).await;
    assert_eq!(unknown["near"][0], "sum");
    lab.close().await;
}

#[tokio::test]
async fn the_extension_and_the_address_name_a_skill() {
    let lab = Lab::new(&["good"]).await.ready().await;
    let metadata = Json::parse(&format!(r#"{{"{EXTENSION}":{{"skill":"sum"}}}}"#)).unwrap();
    let message = Message { metadata: Some(metadata), ..say(r#"data:{"a":1,"b":2}"#) };
    assert_eq!(view(&lab.send("good", message).await), r#"completed: {"sum": 3}"#);
    let new = bobbinet_engine::NewTask {
        message: say("just words"),
        context: None,
        skill: Some(bobbinet_core::SkillId::parse("echo").unwrap()),
        trace: None,
        idempotency: None,
    };
    let handle = lab.engine.submit(&crate::lab::caller(), &crate::lab::name_of("good"), new).unwrap();
    assert_eq!(view(&crate::lab::settled(&handle).await), "completed: just words");
    lab.close().await;
}

#[tokio::test]
async fn a_file_is_an_answer_too() {
    let lab = Lab::new(&["good"]).await.ready().await;
    let url = "http://127.0.0.1:7420/agents/good/blobs/01939f3c-7d2e-7000-8000-000000000001";
    let file = || Message { parts: vec![Part::url(url)], ..say("x") };
    let beside_words = || Message { parts: vec![Part::text("here it is"), Part::url(url)], ..say("x") };
    for answer in [file(), beside_words()] {
        let asked = lab.send("good", say("echo")).await;
        assert!(asked.state.is_interrupted(), "{}", view(&asked));
        // It is what was asked for, and nothing that this node has: so it is not asked for again.
        let task = lab.reply("good", &asked.id, answer).await;
        assert_eq!(view(&task), "rejected: foreign-url");
    }
    lab.close().await;
}
