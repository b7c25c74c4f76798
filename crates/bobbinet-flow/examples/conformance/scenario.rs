//! One scenario of the kit.

use bobbinet_flow::{document::Definition, limits::Limits, run::End};
use serde_json::{Value as Json, json};

use crate::{
    gherkin::{Scenario, Step},
    world::{self, Ended},
};

pub(crate) enum Outcome {
    Passed,
    /// With the reason that the checker gives.
    Refused(String),
    Failed(String),
}

pub(crate) fn run(scenario: &Scenario) -> Outcome {
    let text_of = |words: &str| scenario.steps.iter().find(|step| step.words.contains(words)).map(|step| &step.text);
    let Some(text) = text_of("with definition") else { return Outcome::Failed("there is no definition".into()) };
    let reading = Definition::read(&scenario.file, text, &Limits::default());
    let Some(definition) = &reading.definition else {
        let all: Vec<&str> = reading.findings.iter().map(|finding| finding.message.as_str()).collect();
        let is_ours = all.iter().all(|message| crate::example::is_refusal(message));
        return if is_ours { Outcome::Refused(all.join(", ")) } else { Outcome::Failed(all.join(", ")) };
    };
    let input = text_of("workflow input is").map_or_else(|| json!({}), |text| world::json(text));
    let ended = world::run(definition, input, &[]);
    for step in scenario.steps.iter().skip_while(|step| !step.words.starts_with("Then")) {
        if let Err(why) = holds(step, &ended) {
            return Outcome::Failed(format!("{}: {why}", step.words));
        }
    }
    Outcome::Passed
}

fn holds(step: &Step, ended: &Ended) -> Result<(), String> {
    let words = step.words.split_once(' ').map_or("", |(_, words)| words);
    let same = |found: &Json, wanted: &Json| if found == wanted { Ok(()) } else { Err(format!("it is {found}")) };
    let output = || match &ended.end {
        Some(End::Finished(output)) => Ok(&**output),
        other => Err(format!("it ended so: {other:?}")),
    };
    let quoted: Vec<&str> = words.split('\'').skip(1).step_by(2).collect();
    if words == "the workflow should complete" {
        return output().map(|_| ());
    }
    if words == "the workflow should complete with output:" {
        return same(output()?, &world::json(&step.text));
    }
    if words.starts_with("the workflow should fault") {
        let Some(End::Failed(error)) = &ended.end else { return Err(format!("it ended so: {:?}", ended.end)) };
        let found = error.json();
        if words.ends_with("with error:") {
            let wanted = world::json(&step.text);
            let wanted = wanted.as_object().ok_or("the kit gives no map")?;
            return wanted.iter().try_for_each(|(name, value)| same(&found[name], value));
        }
        return Ok(());
    }
    if words.starts_with("the workflow output should have properties") {
        let output = output()?;
        return quoted.iter().try_for_each(|path| at(output, path).map(|_| ()).ok_or(format!("there is no {path}")));
    }
    if words.contains("' property with value:") {
        return same(at(output()?, quoted[0]).unwrap_or(&Json::Null), &world::json(&step.text));
    }
    if let Some((_, count)) = words.split_once("' property containing ") {
        let count: usize = count.trim_end_matches(" items").parse().map_err(|_| "no number")?;
        let found = at(output()?, quoted[0]).and_then(Json::as_array).map(Vec::len);
        return if found == Some(count) { Ok(()) } else { Err(format!("{found:?}")) };
    }
    let place =
        |name: &str| ended.entered.iter().position(|entered| entered == name).ok_or(format!("{name} did not run"));
    if let Some(name) = words.strip_suffix(" should run first") {
        return if place(name)? == 0 { Ok(()) } else { Err(format!("{:?}", ended.entered)) };
    }
    if let Some(name) = words.strip_suffix(" should run last") {
        return if place(name)? + 1 == ended.entered.len() { Ok(()) } else { Err(format!("{:?}", ended.entered)) };
    }
    if let Some((name, before)) = words.split_once(" should run after ") {
        return if place(name)? == place(before)? + 1 { Ok(()) } else { Err(format!("{:?}", ended.entered)) };
    }
    Err("this driver does not know these words".into())
}

/// What stands at a path such as `a.b`.
fn at<'j>(value: &'j Json, path: &str) -> Option<&'j Json> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}
