//! `bobbinet card get`: who an agent is, and what it can do.

use bobbinet_core::Json;
use bobbinet_wire::{
    card_faults,
    v1_0::{CardView, ExtensionSkill},
};

use super::resolve::Agent;
use crate::{
    failure::{Code, Failure},
    output::Output,
    shell::Typed,
};

/// Fetches a card and shows it.
pub(crate) async fn get(output: Output, agent: &Agent) -> Result<(), Failure> {
    let (card, why_not) = agent.card().await?;
    match output.is_json() {
        true => output.raw(card.json.as_str())?,
        false => show(output, agent.reference(), &card.value, &card.json)?,
    }
    // The card is what was asked for, and there it is; that its agent cannot be called is good to know.
    if let Some(why) = why_not {
        why.warn();
    }
    Ok(())
}

/// Fetches a card, and says all that is wrong with it.
pub(crate) async fn validate(output: Output, agent: &Agent) -> Result<(), Failure> {
    let (url, bytes) = agent.card_bytes().await?;
    let faults = card_faults::faults(&bytes);
    if output.is_json() {
        let told: Vec<_> = faults
            .iter()
            .map(|fault| serde_json::json!({ "field": fault.field, "description": fault.description }))
            .collect();
        output.json(&serde_json::json!({ "card": url, "valid": faults.is_empty(), "faults": told }))?;
    } else {
        output.field("Card", &url)?;
        output.field("Valid", if faults.is_empty() { "yes" } else { "no" })?;
        for fault in &faults {
            let place = if fault.field.is_empty() { "the card" } else { &fault.field };
            output.field("Fault", format_args!("{place} {}", fault.description))?;
        }
    }
    match faults.len() {
        0 => Ok(()),
        count => {
            let what = if count == 1 { "fault" } else { "faults" };
            Err(Failure::told(Code::CardInvalid, format!("the agent card has {count} {what}")))
        }
    }
}

fn show(output: Output, agent: &str, card: &CardView, json: &Json) -> Result<(), Failure> {
    output.field("Name", &card.name)?;
    output.field("Description", &card.description)?;
    output.field("Version", &card.version)?;
    for interface in card.interfaces() {
        let Interface { url, binding, version } = Interface::of(interface);
        output.field("Interface", format_args!("{url} ({binding} {version})"))?;
    }
    let capabilities = [
        ("streaming", card.capabilities.streaming),
        ("push notifications", card.capabilities.push_notifications),
        ("extended card", card.capabilities.extended_agent_card),
    ];
    let has: Vec<&str> = capabilities.iter().filter(|(_, has)| *has == Some(true)).map(|(name, _)| *name).collect();
    output.field("Capabilities", if has.is_empty() { "none".to_owned() } else { has.join(", ") })?;
    output.field("Security", security(json))?;
    let extension = card.extension_skills();
    for skill in &card.skills {
        output.field("Skill", &skill.id)?;
        output.field("  Does", first_line(&skill.description))?;
        if let Some(ours) = extension.get(&skill.id) {
            show_extension(output, ours)?;
        }
        for example in skill.examples.iter().flatten() {
            // As it can be typed.
            output.field("  Example", Typed::new("bobbinet send").flag("-a", agent).words(&[example]))?;
        }
        if output.is_verbose {
            output.field("  Tags", skill.tags.as_deref().unwrap_or_default().join(", "))?;
        }
    }
    Ok(())
}

struct Interface<'a> {
    url: &'a str,
    binding: &'a str,
    version: &'a str,
}

impl<'a> Interface<'a> {
    fn of(interface: &'a bobbinet_wire::v1_0::Interface) -> Self {
        Self { url: &interface.url, binding: &interface.protocol_binding, version: &interface.protocol_version }
    }
}

fn show_extension(output: Output, skill: &ExtensionSkill) -> Result<(), Failure> {
    if let Some(effects) = &skill.effects {
        output.field("  Effect", effects)?;
    }
    show_schema(output, "  Arguments", skill.input.as_ref())?;
    show_schema(output, "  Gives", skill.output.as_ref())
}

fn show_schema(output: Output, label: &str, schema: Option<&Json>) -> Result<(), Failure> {
    match schema {
        Some(schema) if output.is_verbose => {
            output.block(label, &serde_json::to_string_pretty(&schema.to_value()).unwrap_or_default())
        }
        Some(schema) => {
            let names = super::arguments::names(schema);
            if names.is_empty() { Ok(()) } else { output.field(label, names.join(", ")) }
        }
        None => Ok(()),
    }
}

/// The names of the security schemes, whatever they are.
fn security(json: &Json) -> String {
    let card = json.to_value();
    let schemes = card.get("securitySchemes").and_then(|schemes| schemes.as_object());
    let names: Vec<&str> = schemes.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
