//! What a run's steps come to, for whoever watches it.

use std::sync::Arc;

use bobbinet_core::{Json, Message, MessageId, Part};
use bobbinet_flow::run::{News, Progress};
use serde_json::json;

/// One status message of all that has happened at once: a line for each step, and the same as data in its metadata.
pub(crate) fn message(id: MessageId, news: &[Progress], text_max: usize) -> (Arc<Message>, Json) {
    // What begins and ends at once is told by its end.
    let is_news = |(place, one): &(usize, &Progress)| {
        one.news != News::Entered || news[place + 1..].iter().all(|later| later.pointer != one.pointer)
    };
    let news: Vec<&Progress> = news.iter().enumerate().filter(is_news).map(|(_, one)| one).collect();
    let mut text = news.iter().copied().map(line).collect::<Vec<_>>().join("\n");
    if text.chars().count() > text_max {
        text = text.chars().take(text_max).chain(['…']).collect();
    }
    let steps: Vec<_> =
        news.iter().map(|one| json!({ "step": one.pointer, "name": one.name, "news": one.news })).collect();
    (Arc::new(Message::from_agent(id, vec![Part::text(text)])), Json::from(&json!({ "steps": steps })))
}

fn line(progress: &Progress) -> String {
    let name = &progress.name;
    match &progress.news {
        News::Entered => format!("{name}: begins"),
        News::Skipped => format!("{name}: skipped"),
        News::Done => format!("{name}: done"),
        News::Failed { title } => format!("{name}: failed ({title})"),
        News::Retrying { attempt, at } => format!("{name}: tried again at {at}, attempt {attempt}"),
        News::WaitsToAsk => format!("{name}: waits to ask, as another step asks"),
    }
}
