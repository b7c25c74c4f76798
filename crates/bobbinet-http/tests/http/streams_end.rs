//! Streams of other agents that end when they should not, or not as ours do.

use std::time::Duration;

use bobbinet_core::State;
use bobbinet_http::{Client, ClientError, ClientOptions, SendOptions, client::TaskStream};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    client::says,
    foreign::{Asked, Does, Foreign, card, task, update},
    node::PATIENCE,
};

fn whole(state: &str) -> Value {
    json!({ "task": task(state) })
}

async fn opened(agent: &Foreign, retries_max: u32) -> TaskStream {
    let options = ClientOptions { retries_max, ..ClientOptions::default() };
    let client = Client::connect(&agent.url, options).await.unwrap();
    client.send_streaming(says("x"), &SendOptions::default()).await.unwrap()
}

async fn states(stream: &mut TaskStream) -> Result<Vec<State>, ClientError> {
    let all = async {
        let mut states = Vec::new();
        while let Some(event) = stream.next().await? {
            states.extend(event.value.state());
        }
        Ok(states)
    };
    timeout(PATIENCE, all).await.expect("a stream has an end")
}

#[tokio::test]
async fn a_stream_that_ends_early_goes_on_with_a_look() {
    let agent = Foreign::start(card, |asked: &Asked| match (asked.method.as_str(), asked.number) {
        ("SendStreamingMessage", _) => Does::Stream(vec![whole("WORKING")]),
        ("GetTask", 0) => Does::Result(task("WORKING")),
        ("SubscribeToTask", _) => Does::Stream(vec![whole("WORKING"), update("SUBMITTED")]),
        _ => Does::Result(task("COMPLETED")),
    });
    let agent = agent.await;
    let told = states(&mut opened(&agent, 12).await).await.unwrap();
    assert_eq!(told, [State::Working, State::Submitted, State::Completed], "the task is told again only if it is news");
    let methods: Vec<String> = agent.asked().iter().map(|asked| asked.method.clone()).collect();
    assert_eq!(methods, ["GET", "SendStreamingMessage", "GetTask", "SubscribeToTask", "GetTask"]);
}

#[tokio::test]
async fn a_stream_that_never_says_anything_new_is_given_up() {
    const RETRIES: u32 = 4;
    let agent = Foreign::start(card, |asked: &Asked| match asked.method.as_str() {
        "GetTask" => Does::Result(task("WORKING")),
        _ => Does::Stream(vec![whole("WORKING")]),
    });
    let agent = agent.await;
    let began = Instant::now();
    let end = states(&mut opened(&agent, RETRIES).await).await;
    assert!(matches!(&end, Err(ClientError::Protocol(why)) if why.contains("again and again")), "{end:?}");
    assert_eq!(agent.count("SubscribeToTask"), RETRIES as usize + 1);
    // The pauses are 50 to 100 ms, 100 to 200, 200 to 400, 400 to 800, 800 to 1600.
    assert!(began.elapsed() >= Duration::from_millis(1_500), "each pause is longer than the one before");
}

#[tokio::test]
async fn an_agent_that_streams_no_task_twice_is_asked_how_it_ended() {
    let agent = Foreign::start(card, |asked: &Asked| match (asked.method.as_str(), asked.number) {
        ("SendStreamingMessage", _) => Does::Stream(vec![whole("WORKING")]),
        ("SubscribeToTask", _) => Does::Error(-32601),
        ("GetTask", 0) => Does::Result(task("WORKING")),
        _ => Does::Result(task("FAILED")),
    });
    let agent = agent.await;
    assert_eq!(states(&mut opened(&agent, 12).await).await.unwrap(), [State::Working, State::Failed]);
}

#[tokio::test]
async fn the_stream_of_a_message_ends_when_its_task_asks() {
    let agent = Foreign::start(card, |_: &Asked| Does::Stream(vec![whole("WORKING"), update("INPUT_REQUIRED")]));
    let agent = agent.await;
    let told = states(&mut opened(&agent, 12).await).await.unwrap();
    assert_eq!(told, [State::Working, State::InputRequired]);
    assert_eq!(agent.asked().len(), 2, "nothing more is asked: {:?}", agent.asked());
}

#[tokio::test]
async fn an_agent_that_answers_at_once_in_place_of_a_stream_is_heard() {
    let agent = Foreign::start(card, |_: &Asked| Does::Result(whole("COMPLETED"))).await;
    assert_eq!(states(&mut opened(&agent, 12).await).await.unwrap(), [State::Completed]);
    assert_eq!(agent.count("SendStreamingMessage"), 1);
}
