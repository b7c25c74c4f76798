//! What receivers are told, whatever they, the node and the task do.

use std::{sync::Arc, time::Duration};

use bobbinet_core::State;
use bobbinet_push::LetterState;

use crate::{
    lab::{Lab, MANY, Manner, Node, agent, caller, config, of, whole},
    slow::{Down, Slow},
};

const URL: &str = "https://a.example";

#[tokio::test(start_paused = true)]
async fn a_webhook_of_a_new_task_is_told_each_event_in_order() {
    let lab = Lab::new();
    let node = lab.start().await;
    node.begin("artifacts", &config(URL)).await;
    lab.let_go(1);
    let told = lab.until(URL, 5).await;
    assert_eq!(told, ["1 task submitted with 0", "2 started", "3 artifact", "4 artifact", "5 ended"]);
    assert_eq!(lab.receivers.shown(URL), ("tok".to_owned(), "Bearer cred".to_owned()));
    lab.pass(Duration::from_secs(1)).await;
    let letters = node.webhooks.letters(&caller()).await.unwrap();
    assert_eq!((letters.waiting, letters.letters.len()), (0, 0), "it is over");
    lab.kill(node).await;
    let again = lab.start().await;
    lab.pass(Duration::from_secs(5)).await;
    assert_eq!(lab.receivers.told(URL).len(), 5, "and nothing is told again");
    lab.kill(again).await;
}

#[tokio::test(start_paused = true)]
async fn a_dialect_of_whole_tasks_is_told_each_status_as_it_was() {
    let lab = Lab::new();
    lab.receivers.set(URL, Manner::Refuses);
    let node = lab.start().await;
    let task = node.begin("artifacts", &whole(URL)).await;
    lab.let_go(1);
    node.until(&task.id, State::Completed).await;
    lab.receivers.set(URL, Manner::Takes);
    let told = lab.until(URL, 3).await;
    assert_eq!(told, ["1 task submitted with 0", "2 task working with 0", "5 task completed with 2"]);
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_later_is_told_the_task_as_it_stands_and_what_follows() {
    let lab = Lab::new();
    let node = lab.start().await;
    let other = "https://b.example";
    let task = node.begin("artifacts", &config(URL)).await;
    lab.until(URL, 4).await;
    let standing = node.engine.get(&caller(), &agent(), &task.id).await.unwrap();
    // Its snapshot is of when it was asked for, also if the receiver is down then.
    lab.receivers.set(other, Manner::Refuses);
    let late = bobbinet_core::PushConfig { id: Some("late".to_owned()), ..config(other) };
    node.webhooks.register(of(), &task.id, standing.generation, &late).await.unwrap();
    lab.let_go(1);
    node.until(&task.id, State::Completed).await;
    lab.receivers.set(other, Manner::Takes);
    assert_eq!(lab.until(other, 2).await, ["4 task working with 2", "5 ended"]);
    // Of a task that has ended it is told the end.
    let ended = bobbinet_core::PushConfig { id: Some("ended".to_owned()), ..config("https://c.example") };
    let standing = node.engine.get(&caller(), &agent(), &task.id).await.unwrap();
    node.webhooks.register(of(), &task.id, standing.generation, &ended).await.unwrap();
    assert_eq!(lab.until("https://c.example", 1).await, ["5 task completed with 2"]);
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_down_over_a_crash_gets_all_in_order_and_once_by_their_ids() {
    for manner in [Manner::Refuses, Manner::Hangs, Manner::Loses] {
        let lab = Lab::new();
        let node = lab.start().await;
        let task = node.begin("artifacts", &config(URL)).await;
        lab.until(URL, 2).await;
        lab.receivers.set(URL, manner);
        lab.let_go(1);
        node.until(&task.id, State::Completed).await;
        lab.pass(Duration::from_secs(60)).await;
        lab.kill(node).await;
        let node = lab.start().await;
        lab.pass(Duration::from_secs(60)).await;
        lab.receivers.set(URL, Manner::Takes);
        lab.pass(Duration::from_secs(700)).await;
        let told = lab.receivers.told_once(URL);
        let all = ["1 task submitted with 0", "2 started", "3 artifact", "4 artifact", "5 ended"];
        assert_eq!(told, all, "{manner:?}: {:?}", lab.receivers.told(URL));
        lab.kill(node).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_far_into_a_long_log_is_come_to_however_long_that_is_read() {
    let mut lab = Lab::new();
    let node = lab.start().await;
    let task = node.begin("many", &config(URL)).await;
    lab.until(URL, MANY + 2).await;
    lab.pass(Duration::from_secs(1)).await;
    lab.receivers.set(URL, Manner::Refuses);
    lab.let_go(1);
    node.until(&task.id, State::Completed).await;
    lab.kill(node).await;
    lab.receivers.set(URL, Manner::Takes);
    lab.store = Arc::new(Slow(lab.store.clone(), Duration::from_millis(60)));
    let node = lab.start().await;
    assert_eq!(lab.until(URL, MANY + 3).await[MANY + 2], format!("{} ended", MANY + 3));
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn a_question_and_its_answer_are_told() {
    let lab = Lab::new();
    let node = lab.start().await;
    let task = node.begin("ask", &config(URL)).await;
    assert_eq!(lab.until(URL, 2).await, ["1 task submitted with 0", "2 asked"]);
    // It waits for days, over restarts.
    lab.kill(node).await;
    let node = lab.start().await;
    lab.pass(Duration::from_secs(3 * 24 * 3600)).await;
    let message = crate::lab::new("now").message;
    let reply = bobbinet_engine::Reply { message, context: None, skill: None, idempotency: None };
    node.engine.reply(&caller(), &agent(), &task.id, reply).await.unwrap();
    let told = lab.until(URL, 5).await;
    assert_eq!(told[2..], ["3 replied", "4 started", "5 ended"]);
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_for_a_day_is_a_dead_letter_until_somebody_tries_again() {
    let lab = Lab::new();
    lab.receivers.set(URL, Manner::Refuses);
    let node = lab.start().await;
    let task = node.begin("now", &config(URL)).await;
    lab.pass(Duration::from_secs(60)).await;
    let letters = node.webhooks.letters(&caller()).await.unwrap().letters;
    assert!(matches!(letters[0].state, LetterState::Retrying { attempts: 4.., .. }), "{letters:?}");
    assert_eq!((&*letters[0].why, letters[0].receiver.as_str()), ("503", URL));
    lab.pass(Duration::from_secs(23 * 3600)).await;
    let tried = lab.receivers.tried(URL);
    assert!((100..400).contains(&tried), "ten minutes at most between two: {tried}");
    assert!(matches!(node.webhooks.letters(&caller()).await.unwrap().letters[0].state, LetterState::Retrying { .. }));
    lab.pass(Duration::from_secs(3600 + 1_200)).await;
    let letters = node.webhooks.letters(&caller()).await.unwrap().letters;
    assert!(matches!(letters[0].state, LetterState::Dead { .. }), "{letters:?}");
    lab.kill(node).await;
    let node = lab.start().await;
    let tried = lab.receivers.tried(URL);
    lab.pass(Duration::from_secs(3600)).await;
    assert_eq!(lab.receivers.tried(URL), tried, "a dead letter is left alone");
    lab.receivers.set(URL, Manner::Takes);
    assert!(node.webhooks.retry(&task.id, "none").await.is_err());
    node.webhooks.retry(&task.id, "h").await.unwrap();
    assert_eq!(lab.until(URL, 3).await, ["1 task submitted with 0", "2 started", "3 ended"]);
    lab.pass(Duration::from_secs(1)).await;
    assert!(node.webhooks.letters(&caller()).await.unwrap().letters.is_empty());
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_down_for_days_tries_before_it_gives_up() {
    let lab = Lab::new();
    lab.receivers.set(URL, Manner::Refuses);
    let node = lab.start().await;
    node.begin("now", &config(URL)).await;
    lab.pass(Duration::from_secs(1)).await;
    lab.kill(node).await;
    lab.pass(Duration::from_secs(3 * 24 * 3600)).await;
    // Its receiver was down too, and comes back an hour later.
    let node = lab.start().await;
    lab.pass(Duration::from_secs(3600)).await;
    lab.receivers.set(URL, Manner::Takes);
    lab.pass(Duration::from_secs(700)).await;
    assert_eq!(lab.until(URL, 3).await.len(), 3);
    lab.kill(node).await;
}

/// Starts a node so many times, each for an hour; what is told of its only webhook then.
async fn hours(lab: &Lab, count: usize) -> LetterState {
    let mut state = None;
    for _ in 0..count {
        let node = lab.start().await;
        state = after(lab, &node, Duration::from_secs(3600)).await;
        lab.kill(node).await;
    }
    state.unwrap()
}

/// What is told of a node's only webhook after so long.
async fn after(lab: &Lab, node: &Node, time: Duration) -> Option<LetterState> {
    lab.pass(time).await;
    let letters = node.webhooks.letters(&caller()).await.unwrap().letters;
    letters.into_iter().next().map(|letter| letter.state)
}

#[tokio::test(start_paused = true)]
async fn a_day_of_trying_is_a_day_also_for_a_node_that_restarts_every_hour() {
    let lab = Lab::new();
    lab.receivers.set(URL, Manner::Refuses);
    let node = lab.start().await;
    let task = node.begin("ask", &config(URL)).await.id;
    lab.kill(node).await;
    assert!(matches!(hours(&lab, 10).await, LetterState::Retrying { .. }));
    // Neither a clock that is set nor a node that is down is anybody's trying.
    lab.set_forward(Duration::from_secs(2 * 24 * 3600));
    lab.pass(Duration::from_secs(2 * 24 * 3600)).await;
    assert!(matches!(hours(&lab, 10).await, LetterState::Retrying { .. }));
    // It has taken something: another day begins.
    lab.receivers.set(URL, Manner::Takes);
    let node = lab.start().await;
    lab.until(URL, 2).await;
    lab.pass(Duration::from_secs(1)).await;
    lab.receivers.set(URL, Manner::Refuses);
    let message = crate::lab::new("now").message;
    let reply = bobbinet_engine::Reply { message, context: None, skill: None, idempotency: None };
    node.engine.reply(&caller(), &agent(), &task, reply).await.unwrap();
    lab.kill(node).await;
    assert!(matches!(hours(&lab, 20).await, LetterState::Retrying { .. }));
    assert!(matches!(hours(&lab, 10).await, LetterState::Dead { .. }));
    // So it does when somebody tries again.
    let node = lab.start().await;
    node.webhooks.retry(&task, "h").await.unwrap();
    lab.kill(node).await;
    assert!(matches!(hours(&lab, 20).await, LetterState::Retrying { .. }));
    assert!(matches!(hours(&lab, 10).await, LetterState::Dead { .. }));
}

#[tokio::test(start_paused = true)]
async fn what_a_node_that_is_killed_has_tried_is_counted_but_for_some_minutes() {
    let mut lab = Lab::new();
    let store = Down::new(lab.store.clone());
    lab.store = store.clone();
    lab.receivers.set(URL, Manner::Refuses);
    let node = lab.start().await;
    node.begin("ask", &config(URL)).await;
    lab.kill(node).await;
    // It keeps nothing at its end. Twenty minutes of each hour are lost at most.
    for hour in 1..=37 {
        let node = lab.start().await;
        let state = after(&lab, &node, Duration::from_secs(3600)).await;
        match state.unwrap() {
            LetterState::Retrying { .. } => assert!(hour < 37, "36 times 40 minutes are a day"),
            LetterState::Dead { .. } => assert!(hour > 23, "{hour}"),
        }
        store.set_down(true);
        lab.kill(node).await;
        store.set_down(false);
    }
}

#[tokio::test(start_paused = true)]
async fn an_orderly_stop_keeps_all_that_was_tried() {
    let mut lab = Lab::new();
    lab.limits.webhook_retry_ms = 3_600_000;
    lab.receivers.set(URL, Manner::Refuses);
    let node = lab.start().await;
    node.begin("ask", &config(URL)).await;
    lab.kill(node).await;
    for start in 1..=14 {
        let node = lab.start().await;
        let state = after(&lab, &node, Duration::from_secs(300)).await;
        match state.unwrap() {
            LetterState::Retrying { .. } => assert!(start < 14, "more than an hour is over"),
            LetterState::Dead { .. } => assert!(start > 11, "{start}"),
        }
        // In the order in which a node does it.
        node.engine.shutdown(Duration::ZERO).await;
        node.webhooks.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forward_gives_nothing_up() {
    let lab = Lab::new();
    lab.receivers.set(URL, Manner::Refuses);
    let node = lab.start().await;
    node.begin("now", &config(URL)).await;
    // Of one task only the webhook is kept yet.
    let planned = node.engine.plan(&agent(), crate::lab::new("now")).unwrap();
    let other = "https://b.example";
    node.webhooks.register_first(of(), &planned.id(), &config(other)).await.unwrap();
    lab.pass(Duration::from_secs(60)).await;
    lab.set_forward(Duration::from_secs(2 * 24 * 3600));
    lab.pass(Duration::from_secs(60)).await;
    node.engine.submit_planned(&caller(), planned).unwrap().accepted().await.unwrap();
    lab.receivers.set(URL, Manner::Takes);
    lab.pass(Duration::from_secs(700)).await;
    assert_eq!((lab.until(URL, 3).await.len(), lab.until(other, 3).await.len()), (3, 3));
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_is_told_nothing_more() {
    let lab = Lab::new();
    lab.receivers.set(URL, Manner::IsGone);
    let node = lab.start().await;
    let task = node.begin("artifacts", &config(URL)).await;
    lab.pass(Duration::from_secs(2)).await;
    assert_eq!(lab.receivers.tried(URL), 1);
    assert!(node.webhooks.get(&task.id, Some("h")).await.is_err());
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn one_dead_receiver_delays_no_other_and_its_webhooks_come_back_with_it() {
    let lab = Lab::new();
    let dead = "https://dead.example";
    lab.receivers.set(dead, Manner::Hangs);
    let node = lab.start().await;
    for _ in 0..1_000 {
        node.begin("now", &config(dead)).await;
    }
    // Those before it are not in the way of this one: the time that it takes is what its receiver takes.
    node.begin("now", &config(URL)).await;
    let before = tokio::time::Instant::now();
    lab.until(URL, 3).await;
    assert!(before.elapsed() < Duration::from_millis(500), "{:?}", before.elapsed());
    lab.pass(Duration::from_secs(600)).await;
    let tried = lab.receivers.tried(dead);
    assert!(tried < 100, "one at a time is tried of a receiver that hangs: {tried}");
    lab.receivers.set(dead, Manner::Takes);
    lab.pass(Duration::from_secs(60)).await;
    assert_eq!(lab.receivers.told(dead).len(), 3_000, "all come with the first that is taken");
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn one_path_that_fails_is_not_tried_with_each_that_is_taken_at_its_receiver() {
    let lab = Lab::new();
    let failing = "https://a.example/path?bad";
    lab.receivers.set(failing, Manner::Refuses);
    let node = lab.start().await;
    node.begin("now", &config(failing)).await;
    for _ in 0..200 {
        node.begin("now", &config("https://a.example/path?good")).await;
        lab.pass(Duration::from_millis(100)).await;
    }
    let tried = lab.receivers.tried(failing);
    assert!(tried < 12, "its own pauses count: {tried}");
    assert_eq!(lab.until("https://a.example/path?good", 600).await.len(), 600);
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn a_webhook_takes_no_callers_place_and_none_is_wanting_for_it() {
    let mut lab = Lab::new();
    lab.limits.followers_max = 1;
    let node = lab.start().await;
    let task = node.begin("work", &config(URL)).await;
    lab.until(URL, 2).await;
    let mine = node.engine.follow(&caller(), &agent(), &task.id).await.unwrap();
    assert!(node.engine.follow(&caller(), &agent(), &task.id).await.is_err(), "a caller has one");
    let other = "https://b.example";
    let late = bobbinet_core::PushConfig { id: Some("late".to_owned()), ..config(other) };
    node.webhooks.register(of(), &task.id, mine.0.generation, &late).await.unwrap();
    assert_eq!(lab.until(other, 1).await.len(), 1);
    lab.let_go(1);
    assert_eq!((lab.until(URL, 3).await.len(), lab.until(other, 2).await.len()), (3, 2));
    lab.kill(node).await;
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_waits_keeps_no_task_in_memory() {
    let mut lab = Lab::new();
    lab.limits.hot_tasks_max = 1;
    // One has nothing to tell, and one has but may not: its receiver hangs, and others are before it.
    let hung = "https://hung.example";
    lab.receivers.set(hung, Manner::Hangs);
    let node = lab.start().await;
    let quiet = node.begin("ask", &config(URL)).await.id;
    lab.until(URL, 2).await;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(node.begin("ask", &config(hung)).await.id);
    }
    lab.pass(Duration::from_secs(30)).await;
    let mut seen = Vec::new();
    for id in [quiet].iter().chain(&crowd) {
        seen.push(std::sync::Arc::downgrade(&node.engine.get(&caller(), &agent(), id).await.unwrap()));
    }
    // Room is made a little at a time, with each that comes.
    for _ in 0..20 {
        node.begin("now", &config("https://b.example")).await;
    }
    lab.until("https://b.example", 60).await;
    let held = seen.iter().filter(|task| task.strong_count() > 0).count();
    assert!(held <= 3, "the newest, and the one that is tried: {held}");
    assert_eq!(seen[0].strong_count(), 0);
    // They go on as if they had been there all the time.
    lab.receivers.set(hung, Manner::Takes);
    assert_eq!(lab.until(hung, 80).await.len(), 80);
    let message = crate::lab::new("now").message;
    let reply = bobbinet_engine::Reply { message, context: None, skill: None, idempotency: None };
    node.engine.reply(&caller(), &agent(), &quiet, reply).await.unwrap();
    assert_eq!(lab.until(URL, 5).await[2..], ["3 replied", "4 started", "5 ended"]);
    lab.kill(node).await;
}
