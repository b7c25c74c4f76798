//! One policy, as a node has it, and who may do what by it: one row for each caller and wish, with the line that decides.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

use bobbinet_auth::{Action, Lines, Policy, PolicyLine};
use bobbinet_core::{AgentName, Call, Caller, Effect, Json, Principal, SkillId, Tenant};

/// The lines, by their numbers from 1, and the agents that they are about.
const LINES: [(&str, &[&str]); 9] = [
    ("caller.principal == 'ci' && skill == 'read_text_file' && !arguments.path.contains('..')", &["files"]),
    ("caller.principal == 'ops' && caller.tenant == 'acme'", &[]),
    (
        "caller.issuer == 'https://idp.example' && 'oncall' in caller.claims.groups && operation != 'cancel'",
        &["files", "pager"],
    ),
    ("'ledger:read' in caller.scopes && operation in ['get', 'list', 'subscribe']", &["ledger"]),
    (
        "'ledger:write' in caller.scopes && skill == 'pay' && arguments.amount <= 100 && arguments.currency in ['EUR', 'USD']",
        &["ledger"],
    ),
    ("has(caller.claims.api_key) && operation == 'call' && skill == 'ping'", &["pager"]),
    ("operation == 'events.publish' && caller.principal == 'shop' && arguments.type.startsWith('order.')", &[]),
    ("operation == 'events.listen' && caller.tenant == 'acme'", &[]),
    ("'planner' in caller.chain && skill == 'summarize' && arguments.texts.all(t, size(t) < 10)", &["writer"]),
];

fn caller(name: &str) -> Caller {
    let of = |principal: &str, tenant: &str| {
        Caller::new(Principal::parse(principal).unwrap(), Tenant::parse(tenant).unwrap())
    };
    let vouched = |issuer: &str, claims: &str, caller: Caller| Caller {
        issuer: Some(issuer.into()),
        claims: Some(Json::parse(claims).unwrap()),
        ..caller
    };
    let scoped = |scopes: &[&str], caller: Caller| Caller {
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..caller
    };
    match name {
        "owner" => Caller { is_node_owner: true, ..of("node-owner", "local") },
        "ci" | "shop" => of(name, "acme"),
        "ci elsewhere" => of("ci", "umbrella"),
        "ops" => of("ops", "acme"),
        "ops elsewhere" => of("ops", "umbrella"),
        "oncall" => {
            vouched("https://idp.example", r#"{"groups":["dev","oncall"]}"#, of("https://idp.example#u1", "guests"))
        }
        "off duty" => vouched("https://idp.example", r#"{"groups":["dev"]}"#, of("https://idp.example#u2", "guests")),
        "no groups" => vouched("https://idp.example", "{}", of("https://idp.example#u3", "guests")),
        "oncall of another" => {
            vouched("https://evil.example", r#"{"groups":["oncall"]}"#, of("https://evil.example#u1", "guests"))
        }
        "reader" => scoped(&["ledger:read"], of("r", "acme")),
        "payer" => scoped(&["ledger:write"], of("w", "acme")),
        "both" => scoped(&["ledger:read", "ledger:write"], of("b", "acme")),
        "key" => vouched("bobbinet:node", r#"{"api_key":"0011223344556677"}"#, of("batch", "night")),
        "for planner" => Caller { chain: vec![Principal::parse("planner").unwrap()], ..of("helper", "acme") },
        "helper" => of("helper", "acme"),
        other => panic!("there is no caller {other}"),
    }
}

/// The line that allows it, or 0.
fn decided(policy: &Policy, who: &str, agent: &str, wish: &str, arguments: Option<&str>) -> String {
    let (caller, agent) = (caller(who), AgentName::parse(agent).unwrap());
    let json = arguments.map(|arguments| Json::parse(arguments).unwrap());
    let skill = wish.strip_prefix("call ").map(|skill| SkillId::parse(skill).unwrap());
    let call = Call { skill, arguments: json.clone(), converted: Vec::new(), effect: Effect::default() };
    let event = json.unwrap_or_else(|| Json::parse("{}").unwrap());
    let action = match wish {
        "send" => Action::Send(&agent),
        "get" => Action::Get(&agent),
        "list" => Action::List(&agent),
        "cancel" => Action::Cancel(&agent),
        "subscribe" => Action::Subscribe(&agent),
        "upload" => Action::Upload(&agent),
        "publish" => Action::Publish(&event),
        "listen" => Action::Listen,
        _ => Action::Call(&agent, &call),
    };
    let may = policy.allows(&caller, action).is_ok();
    let reason = policy.reason(&caller, action);
    assert_eq!(may, reason.is_ok(), "what is tried out is what is asked");
    reason.unwrap_or_default()
}

#[test]
fn who_may_do_what_and_by_which_line() {
    let line = |(number, (allow, on)): (usize, &(&str, &[&str]))| {
        let on = on.iter().map(|name| AgentName::parse(name).unwrap());
        PolicyLine::parse((number + 1).to_string(), allow, on).unwrap()
    };
    let policy = Policy::new(Lines::new(LINES.iter().enumerate().map(line).collect()).unwrap());
    let small = Some(r#"{"amount":100,"currency":"EUR"}"#);
    let rows = [
        // A call by its skill and its arguments; a message before that is known; what came of it.
        ("ci", "files", "call read_text_file", Some(r#"{"path":"a.txt"}"#), "1"),
        ("ci", "files", "call read_text_file", Some(r#"{"path":"../a.txt"}"#), ""),
        ("ci", "files", "call read_text_file", Some("{}"), ""),
        ("ci", "files", "call read_text_file", None, ""),
        ("ci", "files", "call read_text_file", Some(r#"{"path":7}"#), ""),
        ("ci", "files", "call write_file", Some(r#"{"path":"a.txt"}"#), ""),
        ("ci", "files", "send", None, "1"),
        ("ci", "files", "get", None, "1"),
        ("ci", "files", "cancel", None, "1"),
        ("ci", "pager", "send", None, ""),
        ("ci", "pager", "call read_text_file", Some(r#"{"path":"a.txt"}"#), ""),
        ("ci elsewhere", "files", "call read_text_file", Some(r#"{"path":"a.txt"}"#), "1"),
        ("shop", "files", "send", None, ""),
        // Everything, of one tenant.
        ("ops", "files", "call write_file", Some("{}"), "2"),
        ("ops", "pager", "cancel", None, "2"),
        ("ops", "ledger", "list", None, "2"),
        ("ops elsewhere", "files", "send", None, ""),
        ("ops elsewhere", "ledger", "list", None, ""),
        // What another issuer says of its subjects.
        ("oncall", "files", "call write_file", Some("{}"), "3"),
        ("oncall", "pager", "subscribe", None, "3"),
        ("oncall", "pager", "upload", None, "3"),
        ("oncall", "pager", "cancel", None, ""),
        ("oncall", "ledger", "send", None, ""),
        ("off duty", "pager", "send", None, ""),
        ("no groups", "pager", "send", None, ""),
        ("oncall of another", "pager", "send", None, ""),
        // Scopes.
        ("reader", "ledger", "get", None, "4"),
        ("reader", "ledger", "list", None, "4"),
        ("reader", "ledger", "send", None, ""),
        ("reader", "ledger", "upload", None, ""),
        ("reader", "ledger", "cancel", None, ""),
        ("reader", "ledger", "call pay", small, ""),
        ("payer", "ledger", "send", None, "5"),
        ("payer", "ledger", "call pay", small, "5"),
        ("payer", "ledger", "call pay", Some(r#"{"amount":101,"currency":"EUR"}"#), ""),
        ("payer", "ledger", "call pay", Some(r#"{"amount":"100","currency":"EUR"}"#), ""),
        ("payer", "ledger", "call pay", Some(r#"{"amount":1,"currency":"XYZ"}"#), ""),
        ("payer", "ledger", "call pay", Some(r#"{"amount":1}"#), ""),
        ("payer", "ledger", "call refund", small, ""),
        ("both", "ledger", "subscribe", None, "4"),
        ("both", "ledger", "call pay", small, "5"),
        // An API key, for calls alone.
        ("key", "pager", "call ping", Some("{}"), "6"),
        ("key", "pager", "send", None, "6"),
        ("key", "pager", "call page", Some("{}"), ""),
        ("key", "pager", "get", None, ""),
        ("key", "files", "call ping", Some("{}"), ""),
        // Events, which are no agent's.
        ("shop", "files", "publish", Some(r#"{"type":"order.paid"}"#), "7"),
        ("shop", "files", "publish", Some(r#"{"type":"refund.paid"}"#), ""),
        ("shop", "files", "publish", Some("{}"), ""),
        ("key", "files", "publish", Some(r#"{"type":"order.paid"}"#), ""),
        ("shop", "files", "listen", None, "8"),
        ("key", "files", "listen", None, ""),
        // For whom somebody acts.
        ("for planner", "writer", "call summarize", Some(r#"{"texts":["short"]}"#), "9"),
        ("for planner", "writer", "call summarize", Some(r#"{"texts":["short","as long as it can be"]}"#), ""),
        ("helper", "writer", "call summarize", Some(r#"{"texts":["short"]}"#), ""),
        // The owner needs no line.
        ("owner", "ledger", "call pay", Some(r#"{"amount":1000000}"#), "the node's owner"),
        ("owner", "files", "publish", Some("{}"), "the node's owner"),
        ("owner", "files", "listen", None, "the node's owner"),
    ];
    assert!(rows.len() >= 40, "{}", rows.len());
    for (who, agent, wish, arguments, expected) in rows {
        let found = decided(&policy, who, agent, wish, arguments);
        assert_eq!(found, expected, "{who}, {wish} of {agent} with {arguments:?}");
    }
    println!("{} rows", rows.len());
}
