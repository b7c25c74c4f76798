//! Who may do what, one line each: a policy, a caller, what he wants, and what comes of it.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

use std::time::{Duration, Instant};

use bobbinet_auth::{Action, FACTS_BYTES_MAX, LineFault, Lines, NESTING_MAX, Policy, PolicyLine};
use bobbinet_core::{AgentName, Call, Caller, Effect, Json, Principal, SkillId, Tenant};

fn agent() -> AgentName {
    AgentName::parse("vault").unwrap()
}

/// Crypto, whom an issuer vouches for.
fn caller() -> Caller {
    let claims =
        r#"{"iss":"https://idp.example","sub":"crypto","groups":["ops","dev"],"level":3,"org":{"unit":"keys"}}"#;
    Caller {
        issuer: Some("https://idp.example".into()),
        claims: Some(Json::parse(claims).unwrap()),
        scopes: vec!["read".to_owned(), "sign".to_owned()],
        chain: vec![Principal::parse("planner").unwrap()],
        ..Caller::new(Principal::parse("crypto").unwrap(), Tenant::parse("acme").unwrap())
    }
}

fn call(skill: Option<&str>, arguments: Option<&str>) -> Call {
    Call {
        skill: skill.map(|skill| SkillId::parse(skill).unwrap()),
        arguments: arguments.map(|arguments| Json::parse(arguments).unwrap()),
        converted: Vec::new(),
        effect: Effect::default(),
    }
}

fn policy(lines: &[(&str, &[&str])]) -> Policy {
    let line = |(number, (allow, on)): (usize, &(&str, &[&str]))| {
        let on = on.iter().map(|name| AgentName::parse(name).unwrap());
        PolicyLine::parse(format!("p.yaml:{}", number + 1), allow, on).unwrap()
    };
    Policy::new(Lines::new(lines.iter().enumerate().map(line).collect()).unwrap())
}

/// Which of these operations one line allows: `s`end, `c`all, `g`et, `l`ist, `x` to cancel, su`b`scribe.
fn allowed(allow: &str, caller: &Caller, call: &Call) -> String {
    let (policy, agent) = (policy(&[(allow, &[])]), agent());
    let actions = [
        ('s', Action::Send(&agent)),
        ('c', Action::Call(&agent, call)),
        ('g', Action::Get(&agent)),
        ('l', Action::List(&agent)),
        ('x', Action::Cancel(&agent)),
        ('b', Action::Subscribe(&agent)),
    ];
    actions.into_iter().filter(|(_, action)| policy.allows(caller, *action).is_ok()).map(|(letter, _)| letter).collect()
}

/// An event is known whole: nothing about it is *perhaps*, and a line for agents is none for it.
#[test]
fn a_line_allows_an_event_by_what_it_says() {
    let event =
        Json::parse(r#"{"id":"1","source":"/a","specversion":"1.0","type":"com.acme.done","data":{"n":1}}"#).unwrap();
    let allows = |allow: &str, on: &[&str]| policy(&[(allow, on)]).allows(&caller(), Action::Publish(&event)).is_ok();
    for (allow, expected) in [
        ("true", true),
        ("caller.principal == 'crypto'", true),
        ("caller.principal == 'stranger'", false),
        ("operation == 'events.publish'", true),
        ("operation == 'send'", false),
        ("operation == 'events.publish' && arguments.type.startsWith('com.acme.')", true),
        ("operation == 'events.publish' && arguments.type == 'other'", false),
        ("operation == 'events.publish' && arguments.data.n < 2", true),
        ("operation == 'events.publish' && arguments.subject == 's'", false),
        ("skill == 'sign'", false),
        ("agent == 'vault'", false),
        ("agent == null", false),
        ("skill != 'delete_all'", false),
        ("agent != 'vault'", false),
        ("arguments.path.startsWith('/public')", false),
    ] {
        assert_eq!(allows(allow, &[]), expected, "{allow}");
    }
    assert!(!allows("true", &["vault"]), "a line on an agent is about that agent");
    for (allow, expected) in [
        ("caller.principal == 'crypto'", true),
        ("operation == 'events.listen'", true),
        ("operation == 'events.publish'", false),
        ("skill == 'sign'", false),
        ("arguments.type == 'com.acme.done'", false),
    ] {
        assert_eq!(policy(&[(allow, &[])]).allows(&caller(), Action::Listen).is_ok(), expected, "{allow}");
    }
    let denied = policy(&[("false", &[])]).allows(&caller(), Action::Publish(&event)).unwrap_err();
    assert_eq!(denied.to_string(), "crypto may not publish this event: no line of the node's policy allows it");
    let suggested = "- { allow: \"caller.principal == 'crypto' && operation == 'events.publish' && arguments.type == 'com.acme.done'\" }";
    assert!(denied.why().ends_with(suggested), "{}", denied.why());
    assert!(Policy::owner_only().allows(&caller(), Action::Publish(&event)).is_err());
}

#[test]
fn a_line_allows_what_it_says_and_nothing_else() {
    let of_sign = call(Some("sign"), Some(r#"{"path":"/public/a","amount":5,"tags":["a","b"],"a b":1}"#));
    for (allow, expected) in [
        ("true", "scglxb"),
        ("false", ""),
        ("caller.principal == 'crypto'", "scglxb"),
        ("caller.principal == 'Crypto'", ""),
        ("caller.principal == 'crypto' && caller.tenant == 'acme'", "scglxb"),
        ("caller.issuer == 'https://idp.example'", "scglxb"),
        ("caller.issuer == ''", ""),
        ("'sign' in caller.scopes", "scglxb"),
        ("'write' in caller.scopes", ""),
        ("'planner' in caller.chain", "scglxb"),
        ("'ops' in caller.claims.groups", "scglxb"),
        ("caller.claims.groups.exists(g, g.startsWith('o'))", "scglxb"),
        ("caller.claims.org.unit == 'keys' && caller.claims.level >= 3", "scglxb"),
        ("has(caller.claims.admin) && caller.claims.admin", ""),
        ("agent == 'vault'", "scglxb"),
        ("agent in ['vault', 'files'] && operation != 'cancel'", "scglb"),
        // What turns on the call is for the call to say; what came of it may be looked at.
        ("skill == 'sign'", "scglxb"),
        ("skill == 'other'", "sglxb"),
        ("skill != null", "scglxb"),
        ("skill == null", "sglxb"),
        ("caller.principal == 'crypto' && skill == 'sign'", "scglxb"),
        ("caller.principal == 'stranger' && skill == 'sign'", ""),
        ("arguments.path.startsWith('/public')", "scglxb"),
        ("arguments.path.startsWith('/private')", "sglxb"),
        ("arguments['a b'] == 1 && arguments.amount < 10", "scglxb"),
        ("has(arguments.path) && !has(arguments.nothing)", "scglxb"),
        ("'path' in arguments", "scglxb"),
        ("arguments.all(name, name in ['path', 'amount', 'tags', 'a b'])", "scglxb"),
        ("arguments.tags.all(t, t in ['a', 'b']) && size(arguments.tags) <= 2", "scglxb"),
        ("arguments.tags.exists_one(t, t == 'a') && arguments.tags.filter(t, t == 'a') == ['a']", "scglxb"),
        ("!(skill == 'sign')", "sglxb"),
        ("skill == 'sign' ? arguments.amount > 9 : true", "sglxb"),
        // One that names the operation is about that one; a message may come if the call may.
        ("operation == 'call' && skill == 'sign'", "sc"),
        ("operation == 'call'", "sc"),
        ("operation == 'send'", "s"),
        ("operation == 'send' && skill == 'sign'", "s"),
        ("operation in ['get', 'list']", "gl"),
        ("operation == 'get' || skill == 'sign'", "scglxb"),
        // An error allows nothing, and what is true beside it stands.
        ("caller.claims.nothing == 1", ""),
        ("caller.claims.nothing == 1 || caller.principal == 'crypto'", "scglxb"),
        ("caller.claims.nothing == 1 || skill == 'sign'", "scglxb"),
        ("arguments.nothing == 1", "sglxb"),
        ("arguments.path < 3", "sglxb"),
        ("arguments.path", "sglxb"),
        ("caller.principal", ""),
        ("1 / 0 == 1", ""),
        ("9223372036854775807 + 1 > 0", ""),
        ("caller.claims.level", ""),
    ] {
        assert_eq!(allowed(allow, &caller(), &of_sign), expected, "{allow}");
    }
    let nothing = call(None, None);
    for (allow, expected) in [
        ("skill == null", "scglxb"),
        ("skill == 'sign'", "sglxb"),
        ("has(arguments.path)", "sglxb"),
        ("!has(arguments.path)", "sglxb"),
    ] {
        assert_eq!(allowed(allow, &caller(), &nothing), expected, "{allow}, of a call without skill and arguments");
    }
    let unknown = Caller { claims: None, issuer: None, ..caller() };
    assert_eq!(allowed("caller.issuer == '' && !has(caller.claims.sub)", &unknown, &nothing), "scglxb");
}

#[test]
fn what_no_line_allows_is_denied_and_only_the_log_knows_why() {
    let (agent, other, owner) =
        (agent(), AgentName::parse("files").unwrap(), Caller { is_node_owner: true, ..caller() });
    let sign = call(Some("sign"), Some(r#"{"path":"/x"}"#));
    let policy = policy(&[
        ("caller.principal == 'crypto' && skill == 'read'", &["vault"]),
        ("arguments.size > 3", &["vault"]),
        ("operation == 'list'", &["files"]),
    ]);
    assert!(policy.allows(&owner, Action::Call(&agent, &sign)).is_ok());
    assert!(policy.allows(&caller(), Action::List(&other)).is_ok());
    assert!(policy.allows(&caller(), Action::Get(&other)).is_err());
    let denied = policy.allows(&caller(), Action::Call(&agent, &sign)).unwrap_err();
    assert_eq!(denied.to_string(), "crypto may not call sign of vault: no line of the node's policy allows it");
    assert_eq!(
        denied.why(),
        "no line allows it (failed: p.yaml:2: there is no size); this one would: \
         - { allow: \"caller.principal == 'crypto' && skill == 'sign'\", on: vault }"
    );
    // The line that it names does allow it, whatever is in the names.
    for name in ["crypto", r"it's", r#"a "b" \c"#, r"\' || true || '"] {
        let named = Caller { principal: Principal::parse(name).unwrap(), ..caller() };
        let action = Action::Call(&agent, &sign);
        let denied = policy.allows(&named, action).unwrap_err();
        let line = denied.why().rsplit_once("allow: \"").unwrap().1.rsplit_once("\", on").unwrap().0;
        let line: String = serde_json::from_str(&format!("\"{}\"", line)).unwrap();
        assert_eq!(allowed(&line, &named, &sign), "scglxb", "{line}");
        assert_eq!(allowed(&line, &caller(), &sign) == "scglxb", name == "crypto", "{line}");
    }
    let nobody = Policy::new(Lines::new(Vec::new()).unwrap());
    assert_eq!((nobody.shuts_out(&caller()), nobody.shuts_out(&owner)), (Some("policy"), None));
    assert_eq!(policy.shuts_out(&caller()), None);
}

#[test]
fn a_line_that_cannot_be_used_says_where() {
    let nested =
        format!("{}true{}", "(".repeat(usize::from(NESTING_MAX) + 1), ")".repeat(usize::from(NESTING_MAX) + 1));
    let long = "true || ".repeat(400) + "true";
    let many = "true || ".repeat(240) + "true";
    for (allow, place, message) in [
        ("", (1, 1), "it says nothing"),
        (" \n ", (1, 1), "it says nothing"),
        ("caller.principal = 'crypto'", (1, 18), "it is not CEL"),
        ("caller.principal == 'crypto", (1, 21), "it is not CEL"),
        ("true &&", (1, 8), "it is not CEL"),
        ("true &&\n  foo == 1", (2, 3), "there is no \"foo\""),
        ("caller == 'x'", (1, 1), "a caller is asked for one thing"),
        ("caller.name == 'x'", (1, 7), "there is no caller.name"),
        ("has(caller.principal)", (1, 4), "caller.principal is always there"),
        ("true && skill.matches('a+')", (1, 22), "there is no matches()"),
        ("now() > 3", (1, 4), "there is no now()"),
        ("[1].map(x, x + 1) == [2]", (1, 8), "there is no map()"),
        ("[1].exists(x, x + 1 == 2)", (1, 17), "a loop may not put values together with +"),
        ("[1].exists(skill, skill == 1)", (1, 11), "a loop's variable may not be called \"skill\""),
        ("arguments.a.all(x, arguments.b.all(y, x == y))", (1, 16), "it could take too long"),
        ("google.protobuf.Duration{} == 1", (1, 25), "there are no types of one's own"),
        (&nested, (1, 33), "it is nested deeper than 32 levels"),
        (&long, (1, 1), "it is longer than 2000 characters"),
        (&many, (1, 1185), "it has more than 300 parts"),
    ] {
        let fault = PolicyLine::parse("p.yaml:1", allow, []).map(|line| line.cost()).unwrap_err();
        let LineFault { message: found, line, column, hint: _ } = &fault;
        assert!(found.starts_with(message), "{allow}: {fault:?}");
        assert_eq!((*line, *column), place, "{allow}: {fault:?}");
    }
}

/// What a caller could send to make a line work long.
fn hostile() -> Vec<(&'static str, String)> {
    // Without optimisation a parser takes fifty times as long.
    let size = if cfg!(debug_assertions) { 1 << 20 } else { 10 << 20 };
    let list = |item: &str, count| format!("[{}]", vec![item; count].join(","));
    let path = |rest: &str| format!(r#"{{"path":"/public/a","list":["a"],"x":{rest}}}"#);
    let of_list = |rest: &str| format!(r#"{{"path":"/public/a","list":{rest},"x":1}}"#);
    vec![
        ("a list of megabytes beside", path(&list("1", size / 2))),
        ("a text of megabytes beside", path(&format!("{:?}", "a".repeat(size)))),
        ("deep nesting beside", path(&format!("{}{}", "[".repeat(60), "]".repeat(60)))),
        ("a list of megabytes", of_list(&list("1", size / 2))),
        ("a list of a text of megabytes", of_list(&list(&format!("{:?}", "a".repeat(size)), 1))),
        ("deep nesting", of_list(&format!("{}{}", "[".repeat(60), "]".repeat(60)))),
        ("as many as there may be", of_list(&list("\"aaaaaaaaa\"", 990))),
        ("as long as there may be", of_list(&list(&format!("{:?}", "a".repeat(FACTS_BYTES_MAX / 2)), 1))),
        (
            "many members",
            of_list(&format!("{{{}}}", (0..990).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(","))),
        ),
    ]
}

#[test]
fn no_arguments_make_a_line_work_long() {
    let agent = agent();
    let lines = [
        ("arguments.path.startsWith('/public') && !arguments.path.contains('..')", false),
        ("arguments.list.all(x, x in arguments.list)", false),
        ("arguments.list.all(x, x == arguments.list || x != arguments.list)", false),
        ("arguments.list.exists(x, x < arguments.list || x > arguments.path)", false),
        ("arguments.list.all(x, x.contains('aab') || x.contains('aac') || x.contains('aad') || true)", false),
        ("arguments.list.filter(x, x != 'b').filter(x, x != 'c').filter(x, x != 'd') != []", false),
        ("size(arguments) > 3", true),
    ];
    let mut worst = (Duration::ZERO, String::new());
    for (allow, is_whole) in lines {
        let policy = policy(&[(allow, &[])]);
        for (what, arguments) in hostile() {
            let call = call(Some("x"), Some(&arguments));
            let start = Instant::now();
            let is_allowed = policy.allows(&caller(), Action::Call(&agent, &call)).is_ok();
            let took = start.elapsed();
            if took > worst.0 {
                worst = (took, format!("{allow} with {what}"));
            }
            if what.ends_with("beside") && !is_whole && allow.starts_with("arguments.path") {
                assert!(is_allowed, "{allow} with {what}: what is not asked about is passed over");
            }
        }
    }
    println!("the longest took {:?}: {}", worst.0, worst.1);
    assert!(worst.0 < Duration::from_secs(2), "{worst:?}");
}

/// `cargo test -p bobbinet-auth --release --test policy -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn what_a_decision_costs() {
    let (agent, caller, sign) = (agent(), caller(), call(Some("sign"), Some(r#"{"path":"/public/a","amount":5}"#)));
    let owner = Caller { is_node_owner: true, ..caller.clone() };
    let one = policy(&[("caller.principal == 'crypto' && skill == 'sign'", &["vault"])]);
    let path = policy(&[("caller.principal == 'crypto' && arguments.path.startsWith('/public')", &["vault"])]);
    let claims = policy(&[("'ops' in caller.claims.groups", &["vault"])]);
    let several: Vec<(String, &[&str])> = (0..20)
        .map(|number| (format!("caller.principal == 'nobody{number}' && skill == 'sign'"), &["vault"][..]))
        .collect();
    let several: Vec<(&str, &[&str])> = several.iter().map(|(allow, on)| (allow.as_str(), *on)).collect();
    let several = policy(&[several.as_slice(), &[("caller.principal == 'crypto'", &["vault"][..])]].concat());
    let owner_only = Policy::owner_only();
    for (what, policy, caller) in [
        ("owner, no lines", &owner_only, &owner),
        ("owner, lines", &one, &owner),
        ("one line, principal and skill", &one, &caller),
        ("one line, an argument", &path, &caller),
        ("one line, a claim", &claims, &caller),
        ("the last of 21 lines", &several, &caller),
    ] {
        for (name, action) in [("send", Action::Send(&agent)), ("call", Action::Call(&agent, &sign))] {
            let rounds = 200_000_u32;
            let start = Instant::now();
            for _ in 0..rounds {
                policy.allows(caller, action).unwrap();
            }
            println!("{what}, {name}: {} ns", start.elapsed().as_nanos() / u128::from(rounds));
        }
    }
}
