//! Webhooks as they are asked for, shown and removed.

use std::time::Duration;

use bobbinet_core::{PushConfig, State, TaskId};
use bobbinet_engine::EngineError;
use bobbinet_push::WebhookError;
use bobbinet_store::Page;
use futures::FutureExt;

use crate::{
    lab::{Lab, Manner, agent, caller, config, of},
    slow::Down,
};

const URL: &str = "https://a.example/path?key=1";

fn named(id: &str) -> PushConfig {
    PushConfig { id: Some(id.to_owned()), ..config(URL) }
}

#[tokio::test(start_paused = true)]
async fn webhooks_are_shown_without_their_secrets_and_a_page_at_a_time() {
    let lab = Lab::new();
    let node = lab.start().await;
    let task = node.begin("work", &named("h1")).await;
    for id in ["h2", "h3"] {
        node.webhooks.register(of(), &task.id, task.generation, &named(id)).await.unwrap();
    }
    let made = PushConfig { id: None, authentication: None, ..config(URL) };
    let made = node.webhooks.register(of(), &task.id, task.generation, &made).await.unwrap().view;
    assert!(made.id.len() == 36 && made.scheme.is_none());
    let first = node.webhooks.list(&task.id, Some(3), None).await.unwrap();
    let ids = |page: &bobbinet_core::PushPage| page.configs.iter().map(|view| view.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&first), ["h1", "h2", "h3"]);
    let token = first.next_page_token.unwrap();
    // What is removed meanwhile moves nothing.
    node.webhooks.remove(&task.id, "h2").await.unwrap();
    let second = node.webhooks.list(&task.id, Some(3), Some(&token)).await.unwrap();
    assert_eq!((ids(&second), second.next_page_token), (vec![made.id], None));
    assert_eq!(node.webhooks.list(&task.id, None, Some("x")).await, Err(WebhookError::BadPageToken));
    let shown = node.webhooks.get(&task.id, Some("h3")).await.unwrap();
    assert_eq!((shown.url.as_str(), shown.scheme.as_deref()), (URL, Some("Bearer")));
    assert_eq!(node.webhooks.get(&task.id, None).await.unwrap().id, "h1");
    assert_eq!(node.webhooks.get(&task.id, Some("h2")).await, Err(WebhookError::NotFound));
    node.webhooks.remove(&task.id, "h2").await.unwrap();
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_or_replaced_is_told_nothing_more() {
    let lab = Lab::new();
    let node = lab.start().await;
    let task = node.begin("work", &named("h")).await;
    lab.until(URL, 2).await;
    let other = PushConfig { id: Some("h".to_owned()), ..config("https://b.example") };
    node.webhooks.register(of(), &task.id, task.generation, &other).await.unwrap();
    lab.until("https://b.example", 1).await;
    node.webhooks.remove(&task.id, "h").await.unwrap();
    lab.let_go(1);
    node.until(&task.id, State::Completed).await;
    lab.pass(Duration::from_secs(2)).await;
    assert_eq!((lab.receivers.told(URL).len(), lab.receivers.told("https://b.example").len()), (2, 1));
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_is_done_also_if_whoever_asked_hangs_up() {
    let lab = Lab::new();
    let node = lab.start().await;
    let task = node.begin("ask", &named("h")).await;
    lab.until(URL, 2).await;
    let (other, third) = ("https://b.example", "https://c.example");
    let late = PushConfig { id: Some("late".to_owned()), ..config(other) };
    let asked = node.webhooks.register(of(), &task.id, task.generation, &late).now_or_never();
    assert!(asked.is_none(), "it hangs up before it is kept");
    lab.until(other, 1).await;
    let [first, second] = [other, third].map(|url| PushConfig { id: Some("one".to_owned()), ..config(url) });
    let register = |config| node.webhooks.register(of(), &task.id, task.generation, config);
    let (first, second) = tokio::join!(register(&first), register(&second));
    first.unwrap();
    second.unwrap();
    assert!(node.webhooks.remove(&task.id, "h").now_or_never().is_none());
    assert!(node.webhooks.remove(&task.id, "late").now_or_never().is_none());
    lab.pass(Duration::from_secs(1)).await;
    let left = node.webhooks.list(&task.id, None, None).await.unwrap().configs;
    assert_eq!(left.iter().map(|view| view.url.as_str()).collect::<Vec<_>>(), [third]);
    assert_eq!(node.webhooks.letters(&caller()).await.unwrap().waiting, 1, "what is kept is told, and nothing else");
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_than_there_may_be() {
    let mut lab = Lab::new();
    lab.limits.webhooks_per_task_max = 2;
    lab.limits.webhooks_per_owner_max = 3;
    let node = lab.start().await;
    let full = |what, max| Err(WebhookError::Engine(EngineError::Limit { what, max }));
    let task = node.begin("work", &named("a")).await;
    let add = |task: TaskId, id: &'static str| {
        let (webhooks, generation) = (node.webhooks.clone(), bobbinet_core::Generation(1));
        async move { webhooks.register(of(), &task, generation, &named(id)).await.map(drop) }
    };
    add(task.id, "b").await.unwrap();
    assert_eq!(add(task.id, "c").await, full("webhooks_per_task_max", 2));
    let second = node.begin("work", &named("a")).await;
    assert_eq!(add(second.id, "b").await, full("webhooks_per_owner_max", 3));
    // What has been told all is none of them.
    lab.let_go(2);
    node.until(&second.id, State::Completed).await;
    lab.pass(Duration::from_secs(1)).await;
    node.begin("work", &named("a")).await;
    let refused = PushConfig { url: "http://10.0.0.1/".to_owned(), ..named("x") };
    let error = node.webhooks.register(of(), &task.id, task.generation, &refused).await;
    assert_eq!(error, Err(WebhookError::Url("it is private".to_owned())));
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_is_only_what_was_not_there_before() {
    let lab = Lab::new();
    let node = lab.start().await;
    let task = node.begin("ask", &named("h")).await;
    let again = node.webhooks.register(of(), &task.id, task.generation, &named("h")).await.unwrap();
    let fresh = node.webhooks.register(of(), &task.id, task.generation, &named("fresh")).await.unwrap();
    let taken = node.webhooks.register(of(), &task.id, task.generation, &named("taken")).await.unwrap();
    node.webhooks.register(of(), &task.id, task.generation, &named("taken")).await.unwrap();
    for registered in [again, fresh, taken] {
        node.webhooks.take_back(&task.id, &registered).await.unwrap();
    }
    let left = node.webhooks.list(&task.id, None, None).await.unwrap().configs;
    assert_eq!(left.iter().map(|view| view.id.as_str()).collect::<Vec<_>>(), ["h", "taken"]);
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_at_once_under_one_name_what_is_taken_back_is_not_the_others() {
    let (a, b) = ("https://a.example", "https://b.example");
    for loser in [0, 1] {
        let lab = Lab::new();
        let node = lab.start().await;
        let task = node.begin("ask", &named("other")).await;
        let [first, second] = [a, b].map(|url| PushConfig { id: Some("h".to_owned()), ..config(url) });
        let register = |config| node.webhooks.register(of(), &task.id, task.generation, config);
        let (first, second) = tokio::join!(register(&first), register(&second));
        let both = [first.unwrap(), second.unwrap()];
        assert_eq!([&*both[0].view.url, &*both[1].view.url], [a, b], "each is shown its own");
        node.webhooks.take_back(&task.id, &both[loser]).await.unwrap();
        let left = node.webhooks.get(&task.id, Some("h")).await.map(|view| view.url);
        assert_eq!(left.as_deref(), Ok(b), "what stands has replaced another, whichever of them counts: {loser}");
        lab.kill(node).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_while_the_store_is_down_is_told_so_and_what_it_kept_is_done_once_it_is_back() {
    let mut lab = Lab::new();
    let store = Down::new(lab.store.clone());
    lab.store = store.clone();
    let (other, removed) = ("https://b.example", "https://c.example");
    let node = lab.start().await;
    let task = node.begin("ask", &named("h")).await;
    let gone = node.begin("ask", &PushConfig { url: removed.to_owned(), ..named("h") }).await;
    lab.until(URL, 2).await;
    lab.until(removed, 2).await;
    store.set_down(true);
    let soon = Duration::from_secs(60);
    let late = PushConfig { id: Some("late".to_owned()), ..config(other) };
    let is_down = |asked| matches!(asked, Err(WebhookError::Engine(EngineError::Unavailable(_))));
    for _ in 0..20 {
        let asked = node.webhooks.register(of(), &task.id, task.generation, &late);
        let asked = tokio::time::timeout(soon, asked).await.expect("it is answered");
        assert!(is_down(asked.map(drop)));
        let asked = tokio::time::timeout(soon, node.webhooks.remove(&gone.id, "h")).await.expect("it is answered");
        assert!(is_down(asked));
    }
    store.loads();
    lab.pass(Duration::from_secs(100)).await;
    let loads = store.loads();
    assert!((50..150).contains(&loads), "it is looked about once a second, however often somebody asks: {loads}");
    store.set_down(false);
    lab.until(other, 1).await;
    lab.pass(Duration::from_secs(10)).await;
    assert_eq!(node.webhooks.letters(&caller()).await.unwrap().waiting, 2, "what is kept is told, and nothing else");
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn one_whose_task_never_comes_to_be_is_forgotten() {
    let lab = Lab::new();
    let node = lab.start().await;
    let planned = node.engine.plan(&agent(), crate::lab::new("work")).unwrap();
    node.webhooks.register_first(of(), &planned.id(), &named("h")).await.unwrap();
    lab.pass(Duration::from_secs(10)).await;
    assert_eq!(node.webhooks.letters(&caller()).await.unwrap().waiting, 1);
    // The node dies between the two commits: nobody was promised anything.
    lab.kill(node).await;
    let node = lab.start().await;
    lab.pass(Duration::from_secs(600)).await;
    assert_eq!(node.webhooks.letters(&caller()).await.unwrap().waiting, 0);
    lab.pass(Duration::from_secs(2 * 3600)).await;
    assert_eq!(node.webhooks.list(&planned.id(), None, None).await.unwrap().configs, []);
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_secret_is_in_the_store() {
    let lab = Lab::new();
    lab.receivers.set(URL, Manner::Refuses);
    let node = lab.start().await;
    node.begin("work", &config(URL)).await;
    lab.pass(Duration::from_secs(1)).await;
    let tail = lab.store.tail(&bobbinet_store::Scope::default(), bobbinet_store::Cursor(0), 1_000).await.unwrap();
    let mut all = String::new();
    for entry in tail.entries {
        let page = lab.store.read(&entry.stream, bobbinet_store::Version::ZERO, 100).await.unwrap();
        let Page::Records(records) = page else { panic!("nothing is trimmed") };
        records.iter().for_each(|record| all += &String::from_utf8_lossy(&record.body));
    }
    assert!(all.contains("a.example") && !all.contains("\"tok\"") && !all.contains("cred\""), "{all}");
    lab.kill(node).await;
}
