use bobbinet_core::Json;

use super::*;
use crate::paged_list::ListEntry;

fn offers(tools: &[(&str, &str)]) -> Offers {
    let tool = |(name, about): &(&str, &str)| {
        serde_json::from_value(serde_json::json!({"name": name, "description": about})).unwrap()
    };
    Offers::from(tools.iter().map(tool).collect::<Vec<_>>())
}

struct Pins {
    folder: tempfile::TempDir,
    pins: Arc<PinnedTools>,
}

impl Pins {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pins = Arc::new(PinnedTools::read(Arc::new(McpConfig::new("a", "x", &[])), folder.path()));
        Self { folder, pins }
    }

    /// As after a restart.
    fn again(self, change: impl Fn(&mut McpConfig)) -> Self {
        let mut config = McpConfig::new("a", "x", &[]);
        change(&mut config);
        let pins = Arc::new(PinnedTools::read(Arc::new(config), self.folder.path()));
        Self { pins, ..self }
    }

    /// The names that are offered, and those that are withheld.
    async fn list(&self, by: ListedBy, tools: &[(&str, &str)]) -> String {
        let sifted = self.pins.sift(&offers(tools), Some("1"), by);
        self.pins.keep(&sifted).await;
        let offered = sifted.offers.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>().join(" ");
        let withheld = sifted.withheld.iter().map(|(name, why)| format!("{name} {why:?}")).collect::<Vec<_>>();
        format!("{offered} | {}", withheld.join(" "))
    }
}

const AGENT: ListedBy = ListedBy::Agent;

#[tokio::test]
async fn a_tool_that_changes_is_withheld_until_somebody_says_yes_over_restarts() {
    let pins = Pins::new();
    assert_eq!(pins.list(AGENT, &[("a", "1"), ("b", "1")]).await, "a b | ");
    assert!(pins.pins.open().is_none());
    let pins = pins.again(|_| {});
    assert_eq!(pins.list(AGENT, &[("a", "1"), ("b", "2"), ("c", "1")]).await, "a c | b Asked");
    let open = pins.pins.open().unwrap();
    assert_eq!(open.tools.keys().collect::<Vec<_>>(), ["b"]);
    let pins = pins.again(|_| {});
    // What was kept of the last listing is looked at by the same eyes, and adds nothing.
    assert_eq!(pins.list(ListedBy::Memory, &[("b", "2"), ("d", "1")]).await, "d | b Asked");
    assert_eq!(pins.list(AGENT, &[("a", "1"), ("b", "2")]).await, "a | b Asked");
    assert_eq!(pins.pins.open().unwrap().id, open.id, "the same change is the same question");
    assert!(!pins.pins.decide("other", true).await.unwrap());
    assert!(pins.pins.decide(&open.id, true).await.unwrap());
    assert!(pins.pins.open().is_none());
    assert_eq!(pins.list(AGENT, &[("a", "1"), ("b", "2")]).await, "a b | ");
    let pins = pins.again(|_| {});
    assert_eq!(pins.list(AGENT, &[("b", "2")]).await, "b | ");
    // What was let through once stays so: of several processes one may be older.
    assert_eq!(pins.list(AGENT, &[("b", "1")]).await, "b | ");
    // One that goes and comes back as another is known all the same.
    assert_eq!(pins.list(AGENT, &[]).await, " | ");
    assert_eq!(pins.list(AGENT, &[("a", "3")]).await, " | a Asked");
}

#[tokio::test]
async fn a_template_or_a_prompts_argument_that_changes_is_withheld_too() {
    let offers = |templates: &[(&str, &str)], argument: &str| {
        let template = |(uri, about): &(&str, &str)| {
            let json =
                serde_json::json!({"uriTemplate": uri, "name": "n", "description": about, "_meta": {"x": argument}});
            RawTemplate::read(&Json::from(&json), &mut Vec::new()).unwrap()
        };
        let prompt = serde_json::json!({"name": "p", "arguments": [{"name": argument}]});
        let prompt = serde_json::from_value(prompt).unwrap();
        Offers {
            templates: templates.iter().map(template).collect(),
            prompts: vec![prompt],
            ..Offers::from(Vec::new())
        }
    };
    let pins = Pins::new();
    let list = async |listed: Offers| {
        let sifted = pins.pins.sift(&listed, None, AGENT);
        pins.pins.keep(&sifted).await;
        let templates = sifted.offers.templates.iter().map(|it| it.uri_template.as_str());
        let prompts = sifted.offers.prompts.iter().map(|it| it.name.as_str());
        let withheld: Vec<_> = sifted.withheld.into_keys().collect();
        (templates.chain(prompts).collect::<Vec<_>>().join(" "), withheld)
    };
    assert_eq!(list(offers(&[("a:{x}", "1"), ("b:{x}", "1")], "who")).await.0, "a:{x} b:{x} p");
    assert_eq!(
        list(offers(&[("a:{x}", "2"), ("b:{x}", "1"), ("b:{x}", "3")], "who")).await,
        ("b:{x} p".to_owned(), vec![])
    );
    let open = pins.pins.open().unwrap();
    assert_eq!(open.tools.keys().collect::<Vec<_>>(), ["template:a:{x}"]);
    assert!(open.tools["template:a:{x}"].is.shown.contains("description: 2"));
    assert!(pins.pins.decide(&open.id, true).await.unwrap());
    assert_eq!(list(offers(&[("a:{x}", "2")], "who")).await.0, "a:{x} p");
    // What an argument of a prompt is called is what a model is told to give.
    assert_eq!(list(offers(&[("a:{x}", "2")], "password")).await, ("a:{x}".to_owned(), vec!["prompt:p".to_owned()]));
    assert_eq!(pins.pins.open().unwrap().tools.keys().collect::<Vec<_>>(), ["prompt:p"]);
    // A tool that takes a template's name hides it, and is not it.
    let mut both = offers(&[("c:{x}", "1")], "who");
    both.tools = vec![serde_json::from_value(serde_json::json!({"name": "template:c:{x}"})).unwrap()];
    assert_eq!(list(both).await.0, "p");
}

#[tokio::test]
async fn what_was_pinned_before_meta_counted_is_known_and_from_then_on_it_counts() {
    let pins = Pins::new();
    pins.list(AGENT, &[("a", "1")]).await;
    let definition = ToolDefinition::of_tool(&offers(&[("a", "1")]).tools[0]);
    let file = pins.folder.path().join("pins.json");
    let kept = std::fs::read_to_string(&file).unwrap().replace(&definition.hash, definition.before.as_ref().unwrap());
    std::fs::write(&file, kept).unwrap();
    let pins = pins.again(|_| {});
    let withheld = |ui: u8| {
        let mut offers = offers(&[("a", "1")]);
        offers.tools[0].meta = Some(bobbinet_core::Json::from(&serde_json::json!({"ui": ui})));
        pins.pins.sift(&offers, None, AGENT).withheld.len()
    };
    assert_eq!([withheld(1), withheld(1), withheld(2)], [0, 0, 1]);
}

#[tokio::test]
async fn a_no_is_kept_and_nobody_is_asked_again_unless_it_changes_again() {
    let pins = Pins::new();
    pins.list(AGENT, &[("a", "1")]).await;
    pins.list(AGENT, &[("a", "2")]).await;
    let id = pins.pins.open().unwrap().id;
    assert!(pins.pins.decide(&id, false).await.unwrap());
    let pins = pins.again(|_| {});
    assert_eq!(pins.list(AGENT, &[("a", "2")]).await, " | a Refused");
    assert!(pins.pins.open().is_none());
    assert_eq!(pins.list(AGENT, &[("a", "3")]).await, " | a Asked");
    assert!(pins.pins.open().is_some());
    assert_eq!(pins.list(AGENT, &[("a", "1")]).await, "a | ");
    assert!(pins.pins.open().is_none(), "it has thought better of it");
    assert!(WithheldFor::Asked.fault("a", "t").text.contains("task list"));
}

#[tokio::test]
async fn what_the_operator_says_counts() {
    let pins = Pins::new();
    pins.list(AGENT, &[("a", "1")]).await;
    let pins = pins.again(|config| config.pin = PinPolicy::Off);
    assert_eq!(pins.list(AGENT, &[("a", "2")]).await, "a | ");
    let pins = pins.again(|config| config.pin = PinPolicy::Warn);
    assert_eq!(pins.list(AGENT, &[("a", "3")]).await, "a | ");
    let pins = pins.again(|_| {});
    assert_eq!(pins.list(AGENT, &[("a", "3")]).await, "a | ", "that was let through");
    assert_eq!(pins.list(AGENT, &[("a", "4")]).await, " | a Asked");
    // Another command is another server, by the operator's own word.
    let pins = pins.again(|config| *config = McpConfig::new("a", "x@2", &[]));
    assert_eq!(pins.list(AGENT, &[("a", "4")]).await, "a | ");
    assert_eq!(pins.list(AGENT, &[("a", "5")]).await, " | a Asked");
}

#[tokio::test]
async fn a_name_that_comes_twice_and_a_session_beside_slip_nothing_in() {
    let pins = Pins::new();
    pins.list(AGENT, &[("a", "1"), ("b", "1")]).await;
    assert_eq!(pins.list(AGENT, &[("a", "2"), ("a", "1"), ("b", "1")]).await, "b | a Asked");
    assert_eq!(pins.list(AGENT, &[("a", "1"), ("a", "2")]).await, "a a | ", "the first is the tool");
    assert_eq!(pins.list(ListedBy::Beside, &[("b", "2")]).await, " | b Asked");
    assert_eq!(pins.pins.open().unwrap().tools.len(), 1);
    assert_eq!(pins.list(ListedBy::Beside, &[("a", "1")]).await, "a | ");
    assert_eq!(pins.pins.open().unwrap().tools.len(), 1, "one session does not speak for another");
}
