use super::*;
use crate::{
    config::McpConfig,
    exclusive_tools::{CallPermit, CallProfile, ConcurrencyClass},
    mailbox::{Mail, RpcError},
};

fn in_flight_with(limits: McpLimits) -> InFlight {
    InFlight::of(&McpConfig { limits, ..McpConfig::new("a", "x", &[]) })
}

fn in_flight() -> InFlight {
    in_flight_with(McpLimits::default())
}

fn asks(in_flight: &InFlight) -> bool {
    in_flight.question(Asks::User, Json::of(&()), oneshot::channel().0)
}

struct Called {
    serial: u64,
    mailbox: Arc<Mailbox>,
    _permit: CallPermit,
}

fn name(id: i64) -> CallName {
    CallName::of_message(bobbinet_core::MessageId::parse(&format!("m{id}")).unwrap())
}

#[test]
fn a_line_for_a_log_is_of_the_only_callers_calls_or_of_the_one_in_whose_answer_it_came() {
    let in_flight = in_flight();
    assert!(in_flight.log_calls(None).is_empty(), "nothing is in flight");
    let [first, second] = [1, 2].map(|id| call(&in_flight, "ann", id));
    assert_eq!(in_flight.log_calls(None), [name(2), name(1)]);
    assert_eq!(in_flight.log_calls(Some(&RequestId::Number(1))), [name(1)]);
    in_flight.end(first.serial);
    assert!(in_flight.log_calls(Some(&RequestId::Number(1))).is_empty());
    assert!(in_flight.is_only(&CallOwner::named("ann")) && !in_flight.is_only(&CallOwner::named("bob")));
    let others = call(&in_flight, "bob", 3);
    assert!(in_flight.log_calls(None).is_empty(), "it may be of either");
    assert_eq!(in_flight.log_calls(Some(&RequestId::Number(2))), [name(2)]);
    // It may still be about what he has asked for before.
    in_flight.end(others.serial);
    drop(others);
    assert!(in_flight.log_calls(None).is_empty());
    drop(second);
    let fresh = super::tests::in_flight();
    fresh.mix_owners();
    let _only = call(&fresh, "ann", 4);
    assert!(fresh.log_calls(None).is_empty(), "somebody was there whom nobody knows");
}

/// A call of a tool of its own that the server has.
fn call(in_flight: &InFlight, owner: &str, id: i64) -> Called {
    let tool = format!("tool-{id}");
    let profile = CallProfile { owner: CallOwner::named(owner), tool: tool.clone(), class: ConcurrencyClass::Unknown };
    let permit = in_flight.exclusive_tools.try_acquire(&profile).unwrap();
    let tool_call = ToolCall {
        ticket: permit.ticket,
        owner: profile.owner,
        fingerprint: CallFingerprint::of(&tool, &Json::of(&())),
        task: None,
        name: name(id),
    };
    let (serial, mailbox) = in_flight.begin(Some(tool_call)).unwrap();
    in_flight.sent(serial, id, Some(id));
    Called { serial, mailbox, _permit: permit }
}

#[tokio::test]
async fn a_question_goes_to_the_only_call_it_can_belong_to() {
    let in_flight = in_flight();
    assert!(!asks(&in_flight), "nothing is in flight");
    let only = call(&in_flight, "ann", 1);
    assert!(asks(&in_flight));
    assert!(matches!(only.mailbox.next().await, Mail::Question(_)));
    assert!(!in_flight.was_passed_over(only.serial));
}

#[tokio::test]
async fn a_question_that_could_be_of_several_owners_is_nobodys() {
    let in_flight = in_flight();
    let calls = [call(&in_flight, "ann", 1), call(&in_flight, "bob", 2)];
    assert!(!asks(&in_flight));
    assert!(calls.iter().all(|call| in_flight.was_passed_over(call.serial)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_up_is_no_suspect_to_its_owner_and_to_others_for_a_while() {
    let in_flight = in_flight();
    let given_up = call(&in_flight, "ann", 1);
    assert_eq!(in_flight.end(given_up.serial), Some(1));
    drop(given_up);
    let own = call(&in_flight, "ann", 2);
    assert!(asks(&in_flight));
    let reply = Reply::Error(RpcError { code: -32_700, ..RpcError::own("what?".to_owned()) });
    assert_eq!(in_flight.reply(None, reply.clone()), ReplyOwner::Call(2), "nor is a reply without an id its");
    drop(own);
    let others = call(&in_flight, "bob", 3);
    assert!(!asks(&in_flight));
    assert!(in_flight.was_passed_over(others.serial));
    assert_eq!(in_flight.reply(None, reply.clone()), ReplyOwner::Nobody);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(asks(&in_flight));
    assert_eq!(in_flight.reply(None, reply), ReplyOwner::Call(3));
}

#[tokio::test]
async fn a_late_reply_ends_what_was_abandoned_and_is_no_junk() {
    let in_flight = in_flight();
    let given_up = call(&in_flight, "ann", 1);
    in_flight.end(given_up.serial);
    drop(given_up);
    let _others = call(&in_flight, "bob", 2);
    assert_eq!(in_flight.reply(Some(&RequestId::Number(1)), Reply::Result(Json::of(&1))), ReplyOwner::Late);
    assert!(asks(&in_flight));
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_given_up_are_forgotten() {
    let in_flight = in_flight();
    for id in 0..1_000 {
        let given_up = call(&in_flight, "ann", id);
        in_flight.end(given_up.serial);
        drop(given_up);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(in_flight.state().abandoned.len() <= 61, "{}", in_flight.state().abandoned.len());
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(in_flight.exclusive_tools.is_empty());
}

#[tokio::test]
async fn progress_is_read_in_whatever_form_it_comes() {
    let in_flight = in_flight();
    let only = call(&in_flight, "ann", 1);
    for (text, expected) in [
        (r#"{"progressToken":1,"progress":1,"total":"4"}"#, (1.0, Some(4.0), None)),
        (r#"{"progressToken":"1","progress":"2.5","total":null,"message":"half"}"#, (2.5, None, Some("half"))),
        (r#"{"progressToken":1,"progress":3,"total":"many","message":7}"#, (3.0, None, None)),
    ] {
        in_flight.progress(Some(&Json::parse(text).unwrap()));
        let Mail::Progress(progress) = only.mailbox.next().await else { panic!("{text}") };
        assert_eq!((progress.value, progress.total, progress.message.as_deref()), expected, "{text}");
    }
    in_flight.progress(Some(&Json::parse(r#"{"progressToken":1,"progress":{}}"#).unwrap()));
    assert!(matches!(only.mailbox.next().await, Mail::Alive));
}

#[tokio::test]
async fn replies_find_their_call_once() {
    let in_flight = in_flight();
    let only = call(&in_flight, "ann", 1);
    let reply = |id: RequestId| in_flight.reply(Some(&id), Reply::Result(Json::of(&1)));
    assert_eq!(reply(RequestId::Number(7)), ReplyOwner::Nobody);
    assert_eq!(reply(RequestId::String("1".into())), ReplyOwner::Call(1));
    assert_eq!(reply(RequestId::Number(1)), ReplyOwner::Late);
    assert!(matches!(only.mailbox.replied().await, Reply::Result(_)));
    assert_eq!(in_flight.end(only.serial), None);
}

#[tokio::test]
async fn what_the_server_never_saw_is_told_from_what_it_may_have_done() {
    let in_flight = in_flight();
    let sent = call(&in_flight, "ann", 1);
    let (_, unsent) = in_flight.begin(None).unwrap();
    in_flight.close(ConnectionError::Died("gone".to_owned()));
    assert!(matches!(sent.mailbox.replied().await, Reply::Broken(_)));
    assert!(matches!(unsent.replied().await, Reply::NotSent(_)));
    assert!(in_flight.begin(None).is_err());
}

#[tokio::test]
async fn a_flood_of_junk_is_one_line_too_many() {
    let limits = McpLimits { junk_lines_max: 3, junk_bytes_max: 100, ..McpLimits::default() };
    let in_flight = in_flight_with(limits);
    assert!([1, 1, 1].iter().all(|bytes| in_flight.junk(*bytes).is_none()));
    assert!(in_flight.junk(1).is_some());
    in_flight.good();
    assert!(in_flight.junk(100).is_none());
    assert!(in_flight.junk(1).is_some());
}
