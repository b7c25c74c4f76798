//! `bobbinet policy test`: what a policy says of each case of a file, and whether it should.

use std::path::Path;

use bobbinet_auth::{Action, Issuer, NODE_ISSUER, NODE_OWNER, NODE_TENANT, Policy};
use bobbinet_core::{AgentName, Call, Caller, Effect, Json, Principal, Tenant};
use serde_json::{Map, Value, json};

use crate::{
    cli::PolicyTest,
    config::{self, CallersConfig, CaseCaller, Expectation, Finding, PolicyCase, PolicyCases},
    failure::{Code, Failure},
    node,
    output::Output,
};

/// What a policy says of a case.
struct Verdict {
    /// Who wants what.
    what: String,
    found: Expectation,
    /// The line that allows it, or why none does.
    why: String,
    is_right: bool,
}

/// Asks a policy about each case.
pub(crate) fn test(output: Output, command: &PolicyTest) -> Result<(), Failure> {
    let (PolicyCases { policy, cases }, findings) = config::read_policy_cases(&command.file);
    node::tell(output, &findings)?;
    let config = command.policy.clone().or(policy).or_else(config::default_file).ok_or_else(|| {
        Failure::new(Code::Usage, "there is no policy to test")
            .hint("name its file: bobbinet policy test CASES -f FILE")
    })?;
    let (callers, issuer, findings) = config::read_policy(&config);
    let faults: Vec<Finding> = findings.into_iter().filter(Finding::is_error).collect();
    node::tell(output, &faults)?;
    let asked = callers.policy.clone().unwrap_or_else(Policy::owner_only);
    let mut verdicts = Vec::new();
    for case in &cases {
        let caller = caller(&case.caller, &callers, issuer.as_deref())
            .map_err(|why| Failure::new(Code::Config, format!("{}:{}: {why}", command.file.display(), case.line)))?;
        verdicts.push(verdict(&asked, &caller, case));
    }
    let wrong = verdicts.iter().filter(|verdict| !verdict.is_right).count();
    tell(output, command, &config, &cases, &verdicts)?;
    match wrong {
        0 => Ok(()),
        _ => Err(Failure::told(Code::PolicyTest, format!("{wrong} of {} cases come out otherwise", cases.len()))),
    }
}

fn tell(
    output: Output,
    command: &PolicyTest,
    config: &Path,
    cases: &[PolicyCase],
    verdicts: &[Verdict],
) -> Result<(), Failure> {
    let wrong = verdicts.iter().filter(|verdict| !verdict.is_right).count();
    if output.is_json() {
        let row = |(case, verdict): (&PolicyCase, &Verdict)| {
            json!({
                "line": case.line,
                "case": verdict.what,
                "expected": word(case.expected),
                "found": word(verdict.found),
                "by": verdict.why,
                "ok": verdict.is_right,
            })
        };
        let rows: Vec<Value> = cases.iter().zip(verdicts).map(row).collect();
        let document = json!({
            "file": command.file, "policy": config, "ok": wrong == 0, "wrong": wrong, "cases": rows,
        });
        return output.json(&document);
    }
    for (case, verdict) in cases.iter().zip(verdicts) {
        let Verdict { what, found, why, is_right } = verdict;
        let place = format!("{}:{}", command.file.display(), case.line);
        match is_right {
            true => output.line(format_args!("ok     {place}: {what}: {}: {why}", word(*found)))?,
            false => {
                let expected = match case.by {
                    Some(line) if *found == case.expected => format!("{} by line {line}", word(case.expected)),
                    Some(_) | None => word(case.expected).to_owned(),
                };
                output.line(format_args!("WRONG  {place}: {what}: {}, expected {expected}: {why}", word(*found)))?;
            }
        }
    }
    output.field("Cases", cases.len())?;
    output.field("Wrong", wrong)
}

fn word(expectation: Expectation) -> &'static str {
    match expectation {
        Expectation::Allow => "allow",
        Expectation::Deny => "deny",
    }
}

/// Who that is on a node with this configuration: as its verifier would say.
fn caller(case: &CaseCaller, config: &CallersConfig, issuer: Option<&str>) -> Result<Caller, String> {
    let node_tenant = || Tenant::parse(NODE_TENANT).expect("a well-formed tenant");
    let parse = |text: &str| Principal::parse(text).map_err(|error| error.to_string());
    let own_issuer = issuer.unwrap_or(NODE_ISSUER);
    let (principal, tenant, of) = match (&case.principal, &case.issuer, &case.subject) {
        (Some(name), _, _) if name == NODE_OWNER => {
            return Ok(Caller { is_node_owner: true, ..Caller::new(parse(name)?, node_tenant()) });
        }
        (Some(name), _, _) => match config.principals.get(name) {
            Some(named) => (named.principal.clone(), named.tenant.clone(), own_issuer),
            None => (parse(name)?, node_tenant(), own_issuer),
        },
        (None, Some(name), Some(subject)) => {
            let issuer = config.trust.iter().find(|issuer| issuer.name == *name);
            let Some(Issuer { prefix, tenant, principals, .. }) = issuer else {
                return Err(format!("the configuration trusts no issuer {name:?}"));
            };
            match principals.get(subject) {
                Some(named) => (named.principal.clone(), named.tenant.clone(), name.as_str()),
                None => {
                    let tenant = tenant.clone().unwrap_or_else(node_tenant);
                    (parse(&format!("{prefix}{subject}"))?, tenant, name.as_str())
                }
            }
        }
        (None, _, _) => return Err("a caller has no name".to_owned()),
    };
    let tenant = match &case.tenant {
        Some(text) => Tenant::parse(text).map_err(|error| error.to_string())?,
        None => tenant,
    };
    let mut claims = match case.claims.as_ref().map(Json::to_value) {
        Some(Value::Object(claims)) => claims,
        None => Map::new(),
        Some(_) => return Err("the claims of a caller are a map".to_owned()),
    };
    claims.entry("iss").or_insert_with(|| of.into());
    claims.entry("sub").or_insert_with(|| case.subject.as_deref().unwrap_or(principal.as_str()).into());
    Ok(Caller {
        issuer: Some(of.into()),
        claims: Some(Json::of(&claims)),
        scopes: case.scopes.clone(),
        chain: case.chain.iter().map(|name| parse(name)).collect::<Result<_, _>>()?,
        ..Caller::new(principal, tenant)
    })
}

fn verdict(policy: &Policy, caller: &Caller, case: &PolicyCase) -> Verdict {
    let nobody = AgentName::parse("none").expect("a well-formed name");
    let agent = case.agent.as_ref().unwrap_or(&nobody);
    let call = Call {
        skill: case.skill.clone(),
        arguments: case.arguments.clone(),
        converted: Vec::new(),
        effect: Effect::default(),
    };
    let event = case.arguments.clone().unwrap_or_else(|| Json::of(&Map::new()));
    let actions: &[Action<'_>] = match case.operation {
        "send" => &[Action::Send(agent)],
        // A call begins as a message, and is asked about twice.
        "call" => &[Action::Send(agent), Action::Call(agent, &call)],
        "get" => &[Action::Get(agent)],
        "list" => &[Action::List(agent)],
        "cancel" => &[Action::Cancel(agent)],
        "subscribe" => &[Action::Subscribe(agent)],
        "upload" => &[Action::Upload(agent)],
        "events.publish" => &[Action::Publish(&event)],
        "events.listen" => &[Action::Listen],
        other => unreachable!("{other} is none of the operations that a case may have"),
    };
    let mut said = Ok(String::new());
    for action in actions {
        said = policy.reason(caller, *action);
        if said.is_err() {
            break;
        }
    }
    let last = actions.last().map(ToString::to_string).unwrap_or_default();
    let what = format!("{} of {}, {last}", caller.principal, caller.tenant);
    let (found, why) = match &said {
        Ok(by) => (Expectation::Allow, by.clone()),
        Err(denied) => (Expectation::Deny, denied.why().to_owned()),
    };
    let is_by_it = match case.by {
        Some(line) => found == Expectation::Allow && why.ends_with(&format!(":{line}")),
        None => true,
    };
    Verdict { what, found, why, is_right: found == case.expected && is_by_it }
}
