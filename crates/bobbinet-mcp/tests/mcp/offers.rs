//! Servers that offer more than tools: resources, prompts, and what goes with them.

use std::{
    fs, io,
    sync::{Arc, Mutex},
};

use bobbinet_core::{Content, Effect, State, Task};
use bobbinet_engine::Agent;
use bobbinet_mcp::McpConfig;

use crate::{
    lab::{Lab, caller, command, limits, name_of, say, settled, until, view},
    web::Web,
};

/// The script of a server that offers more than tools.
pub(crate) fn offering(config: &mut McpConfig) {
    command(config).args[0] = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/offers_server.py").to_owned();
}

async fn lab(modes: &[&str]) -> Lab {
    Lab::with(modes, limits(), offering).await.ready().await
}

fn skills(lab: &Lab, mode: &str) -> Vec<String> {
    lab.agents[mode].describe().skills.iter().map(|skill| skill.id.as_str().to_owned()).collect()
}

/// The parts of the one artifact: what is in each, its media type, and what is said of it.
fn parts(task: &Task) -> Vec<String> {
    let [artifact] = task.artifacts.as_slice() else { panic!("{} artifacts: {:?}", task.artifacts.len(), task.state) };
    let part = |part: &bobbinet_core::Part| {
        let content = match &part.content {
            Content::Text(text) => text.to_string(),
            Content::Raw(raw) => format!("bytes {}", raw.as_str()),
            Content::Url(url) => url.to_string(),
            Content::Data(data) => data.as_str().to_owned(),
        };
        let metadata = part.metadata.as_ref().map(|it| it.as_str()).unwrap_or_default();
        format!("{content} | {} | {metadata}", part.media_type.as_deref().unwrap_or_default())
    };
    artifact.parts.iter().map(part).collect()
}

#[tokio::test]
async fn resources_are_read_by_their_address_in_both_eras() {
    let lab = lab(&["offers", "modern"]).await;
    for mode in ["offers", "modern"] {
        let described = lab.agents[mode].describe();
        let skill = described.skills.iter().find(|skill| skill.id.as_str() == "resource:read").unwrap();
        assert_eq!(skill.effect, Effect::ReadOnly);
        let names = "`demo://a/notes.md` (demo://a/notes.md), `demo://logo.png` (demo://logo.png), \
                     `demo://asks` (demo://asks), `demo://item/{id}` (An item)";
        let expected =
            format!("Reads one resource of the server by its URI. It lists 3 resources and 1 URI template: {names}.");
        assert_eq!(skill.description, expected, "{mode}");
        assert_eq!(skill.examples[0], "resource:read uri=demo://a/notes.md");
        let task = lab.send(mode, say(&skill.examples[0])).await;
        assert_eq!(
            parts(&task),
            [
                r#"This is demo://a/notes.md | text/markdown | {"uri":"demo://a/notes.md"}"#,
                r#"more |  | {"uri":"demo://a/notes.md?2"}"#
            ],
            "{mode}"
        );
        let task = lab.send(mode, say(r#"data:{"skill":"resource:read","arguments":{"uri":"demo://logo.png"}}"#)).await;
        assert_eq!(parts(&task), [r#"bytes AAEC | image/png | {"uri":"demo://logo.png"}"#], "{mode}");
        let task = lab.send(mode, say("resource:read demo://item/7")).await;
        assert!(view(&task).starts_with("completed: This is demo://item/7"), "{mode}: {}", view(&task));
        assert_eq!(view(&lab.send(mode, say("resource:read demo://gone")).await), "rejected: bad-arguments", "{mode}");
        assert!(view(&lab.send(mode, say("resource:read")).await).starts_with("input-required: `resource:read` needs"));
        // It may ask its reader, as a tool may.
        let asked = lab.send(mode, say("resource:read demo://asks")).await;
        assert_eq!(view(&asked), "input-required: Who reads?", "{mode}");
        let done = lab.reply(mode, &asked.id, say("Ann")).await;
        assert_eq!(view(&done), r#"completed: {"action": "accept", "content": {"name": "Ann"}}"#, "{mode}");
    }
    lab.close().await;
}

#[tokio::test]
async fn a_read_is_a_call_like_any_other() {
    let lab = Lab::with(&["offers"], limits(), |config| {
        offering(config);
        config.limits.idle_ms = 60_000;
    });
    let lab = lab.await.ready().await;
    let hanging = lab.submit("offers", say("resource:read demo://hangs"));
    let begun = lab.notes("offers").join("begun");
    until("it is at the server", || begun.exists()).await;
    let task = lab.engine.cancel(&caller(), &name_of("offers"), &hanging.id()).await.unwrap();
    assert_eq!((task.state, task.calls[0].attempt), (State::Canceled, 1));
    let told = lab.notes("offers").join("canceled");
    until("the server is told", || told.exists()).await;
    lab.close().await;
    let lab = Lab::with(&["offers"], limits(), offering).await.ready().await;
    assert_eq!(view(&lab.send("offers", say("resource:read demo://hangs")).await), "failed: timed-out");
    lab.close().await;
}

#[tokio::test]
async fn prompts_are_skills_and_their_messages_parts() {
    let lab = lab(&["offers", "modern"]).await;
    for mode in ["offers", "modern"] {
        let told = lab.send(mode, say("prompt:summarise text='a b' style=short")).await;
        assert_eq!(
            parts(&told),
            [
                r#"["summarise", {"text": "a b", "style": "short"}] |  | {"role":"user"}"#,
                r#"notes |  | {"uri":"demo://a/notes.md","role":"assistant"}"#
            ],
            "{mode}"
        );
        assert_eq!(told.artifacts[0].description.as_deref(), Some("As it was asked for"));
        assert_eq!(told.artifacts[0].name.as_deref(), Some("prompt:summarise"));
        let asked = lab.send(mode, say("prompt:summarise")).await;
        assert_eq!(view(&asked), "input-required: `prompt:summarise` needs `text` (string): What to sum up.", "{mode}");
        let told = lab.reply(mode, &asked.id, say("text=x")).await;
        assert!(view(&told).starts_with(r#"completed: ["summarise", {"text": "x"}]"#), "{}", view(&told));
        let program = |arguments: &str| say(&format!(r#"data:{{"skill":"prompt:summarise","arguments":{arguments}}}"#));
        assert_eq!(view(&lab.send(mode, program("{}")).await), "rejected: bad-arguments");
        assert_eq!(view(&lab.send(mode, program(r#"{"text":7}"#)).await), "rejected: bad-arguments");
        let told = lab.send(mode, say("prompt:hello there")).await;
        assert!(view(&told).starts_with(r#"completed: ["hello there", {}]"#), "{}", view(&told));
    }
    lab.close().await;
}

#[tokio::test]
async fn a_list_that_changes_is_read_again_whichever_it_is() {
    let lab = lab(&["offers", "modern"]).await;
    for (mode, kind) in [("offers", "prompts"), ("modern", "resources")] {
        let before = lab.agents[mode].describe();
        let knows = |lab: &Lab| {
            let described = lab.agents[mode].describe();
            let counts = |it: &bobbinet_core::Skill| it.description.contains("4 resources");
            described.skills.iter().any(counts) && skills(lab, mode).contains(&"prompt:new".to_owned())
        };
        assert!(!knows(&lab), "{mode}");
        lab.send(mode, say(&format!(r#"data:{{"skill":"grow","arguments":{{"{kind}":true}}}}"#))).await;
        until("both are known", || knows(&lab)).await;
        assert_ne!(lab.agents[mode].describe().version, before.version);
    }
    // The newer era tells of nothing that it was not asked for.
    let listens = fs::read_to_string(lab.notes("modern").join("listens")).unwrap();
    let expected = r#"{"toolsListChanged": true, "resourcesListChanged": true, "promptsListChanged": true}"#;
    assert_eq!(listens.trim(), expected);
    lab.close().await;
}

#[tokio::test]
async fn a_server_without_tools_is_an_agent_too_and_is_remembered() {
    let lab = lab(&["resources-only"]).await;
    assert_eq!(skills(&lab, "resources-only"), ["resource:read", "resource:list"]);
    // With nothing else to call, words are for it.
    assert!(
        view(&lab.send("resources-only", say("demo://item/1")).await).starts_with("completed: This is demo://item/1")
    );
    let asked = fs::read_to_string(lab.notes("resources-only").join("methods")).unwrap();
    assert!(!asked.contains("prompts/list"), "what is not declared is not asked for: {asked}");
    let lab = lab.restart(offering).await;
    assert_eq!(skills(&lab, "resources-only"), ["resource:read", "resource:list"], "before its server is up");
    lab.close().await;
}

#[tokio::test]
async fn a_list_that_fails_costs_no_other_and_is_asked_for_again() {
    let lab = lab(&["prompts-later"]).await;
    assert!(skills(&lab, "prompts-later").contains(&"resource:read".to_owned()));
    until("the prompts are known", || skills(&lab, "prompts-later").contains(&"prompt:summarise".to_owned())).await;
    lab.close().await;
}

#[tokio::test]
async fn lists_have_their_bounds() {
    let lab = Lab::with(&["offers"], limits(), |config| {
        offering(config);
        (config.limits.list_resources_max, config.limits.list_prompts_max) = (2, 1);
    });
    let lab = lab.await.ready().await;
    let described = lab.agents["offers"].describe();
    assert!(described.skills.iter().any(|skill| skill.description.contains("It lists 2 resources and 1 URI template")));
    assert_eq!(described.skills.iter().filter(|skill| skill.id.as_str().starts_with("prompt:")).count(), 1);
    // What is not listed can be read all the same.
    assert!(view(&lab.send("offers", say("resource:read demo://item/9")).await).starts_with("completed: "));
    lab.close().await;
}

#[tokio::test]
async fn resources_and_prompts_come_over_http_as_well() {
    let web = Web::open().await;
    let lab = Lab::with(&["modern"], limits(), |config| web.reach(config)).await.ready().await;
    assert_eq!(skills(&lab, "modern"), ["do", "resource:read", "resource:list", "prompt:ask"]);
    assert_eq!(view(&lab.send("modern", say("resource:read web://a")).await), "completed: read web://a");
    assert_eq!(view(&settled(&lab.submit("modern", say("prompt:ask"))).await), "completed: well?");
    lab.close().await;
}

#[tokio::test]
async fn a_server_that_asks_is_told_its_roots_if_there_are_any() {
    let lab = Lab::with(&["offers", "modern", "rootless"], limits(), |config| {
        offering(config);
        if config.name != "rootless" {
            config.roots = vec!["/srv/docs".into()];
        }
    });
    let lab = lab.await.ready().await;
    for mode in ["offers", "modern"] {
        let told = r#"completed: {"roots": [{"uri": "file:///srv/docs", "name": "docs"}]}"#;
        assert_eq!(view(&lab.send(mode, say("roots")).await), told, "{mode}");
        assert!(fs::read_to_string(lab.notes(mode).join("client")).unwrap().contains(r#""roots": {}"#), "{mode}");
    }
    assert!(!fs::read_to_string(lab.notes("rootless").join("client")).unwrap().contains("roots"));
    let refused = view(&lab.send("rootless", say("roots")).await);
    assert!(refused.contains("-32601"), "{refused}");
    lab.close().await;
}

#[tokio::test]
async fn an_address_to_visit_is_an_authorization_in_both_eras() {
    let lab = lab(&["offers", "modern"]).await;
    for mode in ["offers", "modern"] {
        for (said, answer) in [("done", "accept"), ("decline", "decline")] {
            let asked = lab.send(mode, say("ask-url")).await;
            assert_eq!(view(&asked), "auth-required: Sign in\nhttps://example.com/login", "{mode}");
            let done = lab.reply(mode, &asked.id, say(said)).await;
            assert_eq!(view(&done), format!(r#"completed: {{"action": "{answer}"}}"#), "{mode}");
        }
    }
    lab.close().await;
}

/// What all tests of this process write into the log, at `warn` and above. One of a thread alone would miss what others have met
/// first.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn begin() -> Self {
        let written = Self::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
        tracing::subscriber::set_global_default(subscriber.with_writer(move || writer.clone()).finish()).unwrap();
        written
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_a_server_says_for_the_log_is_in_ours() {
    let written = Written::begin();
    let lab = lab(&["logs", "modern-logs"]).await;
    for (mode, level) in [("logs", "null"), ("modern-logs", r#""warning""#)] {
        // In the newer era each request says what is wanted, before that it is said once.
        let done = lab.send(mode, say(r#"data:{"skill":"log","arguments":{"count":1}}"#)).await;
        assert_eq!(view(&done), format!("completed: {level}"));
        let line =
            format!(r#"agent="{mode}" logger="db" said="{{\"number\": 0, \"text\": \"bad \\u001b[2J\\nthing\"}}""#);
        until("it is written", || written.text().contains(&line)).await;
    }
    let told = lab.notes("logs").join("level");
    until("the server knows what is wanted", || fs::read_to_string(&told).is_ok_and(|level| level == "warning\n"))
        .await;
    assert!(!lab.notes("modern-logs").join("level").exists());
    lab.send("logs", say(r#"data:{"skill":"log","arguments":{"count":1000}}"#)).await;
    let lines = written.text().lines().filter(|line| line.contains("agent=\"logs\"")).count();
    assert!((10..=60).contains(&lines), "{lines} of a thousand");
    lab.close().await;
}

/// The words of each artifact.
fn updates(task: &Task) -> Vec<String> {
    task.artifacts.iter().map(|artifact| artifact.parts[0].as_text().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_resource_that_is_followed_is_an_artifact_each_time_that_it_changes_in_both_eras() {
    let lab = lab(&["offers", "modern"]).await;
    for mode in ["offers", "modern"] {
        let follow = |uri: &str| {
            say(&format!(r#"data:{{"skill":"resource:read","arguments":{{"uri":"{uri}","follow":true}}}}"#))
        };
        let uri = "demo://live/a";
        let (ann, eve) = (lab.submit(mode, follow(uri)), lab.submit(mode, follow(uri)));
        let bob = lab.submit(mode, follow("demo://live/b"));
        let has = async |id, expected: &[&str]| {
            let begun = std::time::Instant::now();
            loop {
                let task = lab.engine.get(&caller(), &name_of(mode), id).await;
                if task.as_ref().is_ok_and(|task| updates(task) == expected) {
                    return task.unwrap();
                }
                assert!(begun.elapsed() < crate::lab::PATIENCE, "{mode}: {task:?}");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let [ann, eve, bob] = [ann.id(), eve.id(), bob.id()];
        for id in [&ann, &eve, &bob] {
            has(id, &["0"]).await;
        }
        // It is subscribed to by then, for each of them once.
        tokio::time::sleep(std::time::Duration::from_millis(800)).await;
        assert_eq!(
            view(&lab.send(mode, say(r#"data:{"skill":"touch","arguments":{"uri":"demo://live/a"}}"#)).await),
            "completed: touched"
        );
        for id in [&ann, &eve] {
            assert_eq!(has(id, &["0", "1"]).await.state, State::Working);
        }
        has(&bob, &["0"]).await;
        let told = fs::read_to_string(lab.notes(mode).join("subscribed")).unwrap();
        let last = told.lines().last().unwrap();
        assert_eq!(told.lines().filter(|it| *it == uri).count(), usize::from(mode == "offers"), "{mode}: {told}");
        assert!(mode == "offers" || last == r#"["demo://live/a", "demo://live/b"]"#, "{mode}: {told}");
        for id in [&ann, &eve, &bob] {
            lab.engine.cancel(&caller(), &name_of(mode), id).await.unwrap();
        }
        let gone = lab.notes(mode).join(if mode == "offers" { "unsubscribed" } else { "canceled" });
        until("nobody is subscribed any more", || gone.exists()).await;
    }
    // A server that does not say when one changes has none to follow.
    let lists = Lab::with(&["resources-only"], limits(), offering).await.ready().await;
    let refused = lists.send("resources-only", say(r#"data:{"uri":"demo://asks","follow":true}"#)).await;
    assert_eq!(view(&refused), "rejected: bad-arguments");
    lists.close().await;
    lab.close().await;
}

#[tokio::test]
async fn resources_are_listed_page_by_page_and_arguments_completed() {
    let lab = lab(&["offers", "modern"]).await;
    for mode in ["offers", "modern"] {
        let first = lab.send(mode, say("resource:list")).await;
        let listed = first.artifacts[0].parts[0].as_data().unwrap().to_value();
        assert_eq!(
            (listed["resources"].as_array().unwrap().len(), listed["nextCursor"].as_str()),
            (2, Some("2")),
            "{mode}"
        );
        let rest = lab.send(mode, say("resource:list cursor=2")).await;
        let listed = rest.artifacts[0].parts[0].as_data().unwrap().to_value();
        assert_eq!(
            (listed["resources"][0]["uri"].as_str(), listed.get("ttlMs")),
            (Some("demo://asks"), None),
            "{mode}"
        );
        let asked =
            r#"data:{"skill":"argument:complete","arguments":{"prompt":"summarise","argument":"style","value":"s"}}"#;
        assert_eq!(
            view(&lab.send(mode, say(asked)).await),
            r#"completed: {"completion":{"values": ["short", "sober"], "hasMore": false}}"#,
            "{mode}"
        );
    }
    lab.close().await;
}
