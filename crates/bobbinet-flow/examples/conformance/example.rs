//! One of the standard's example documents.

use bobbinet_flow::{document::Definition, limits::Limits, run::End};
use serde_json::{Value as Json, json};

use crate::world;

pub(crate) enum Outcome {
    Runs(String),
    /// For a reason of ours.
    Refused(String),
    /// Something else.
    Odd(String),
}

/// Documents that read well and whose runs cannot go well, by the standard's own rules.
const UNABLE: [(&str, &str); 1] = [(
    "for.yaml",
    "its run ends with an expression error, as it must: a `listen` gives the list of the events, and its `output.as` takes `.pets` of that \
     list",
)];

/// What is outside our subset, in the checker's words.
const REFUSALS: [&str; 7] = [
    "OpenAPI services are not called from flows",
    "gRPC services are not called from flows",
    "AsyncAPI services are not called from flows",
    "are not run from flows",
    "would have to be fetched from a catalog",
    "extensions are not carried out here",
    "functions are not fetched from catalogs",
];

pub(crate) fn is_refusal(message: &str) -> bool {
    REFUSALS.iter().any(|known| message.contains(known))
}

/// What makes sense as the input of an example, and the events that it may hear.
fn made_up(name: &str) -> (Json, Vec<Json>) {
    let event =
        |kind: &str, data: Json| json!({"specversion": "1.0", "id": "1", "source": "x", "type": kind, "data": data});
    let input = match name {
        "for.yaml" => json!({"pets": [{"id": 1}, {"id": 2}], "vet": "Ann"}),
        "for-inline-array.yaml" => json!({"processed": []}),
        "conditional-task.yaml" => json!({"customer": {"age": 20}, "bet": {}}),
        "fork.yaml" => json!({"patient": {"fullName": "Bob"}, "room": {"number": 7}}),
        "switch-then-string.yaml" => json!({"orderType": "physical"}),
        "star-wars-homeworld.yaml" => json!({"id": 1}),
        "schedule-event-driven.yaml" | "set.yaml" | "set-expression.yaml" => {
            json!([event("any", json!({"patient": {"id": 1}}))])
        }
        _ => json!({"petId": 1, "token": "t", "searchQuery": "luke", "roomId": 1, "carId": 1}),
    };
    let vitals = "com.fake-hospital.vitals.measurements";
    let events = vec![
        event(&format!("{vitals}.temperature"), json!({"temperature": 39})),
        event(&format!("{vitals}.bpm"), json!({"bpm": 120})),
        event("com.virtual-wf-powered-race.events.race.started.v1", json!({"carId": 1})),
        event("com.fake.petclinic.pets.checkup.completed.v2", json!({})),
        event("com.fake-hospital.patient.checked-out", json!({})),
    ];
    (input, events)
}

pub(crate) fn run(name: &str, text: &str) -> Outcome {
    let reading = Definition::read(name, text, &Limits::default());
    let Some(definition) = &reading.definition else {
        let faults: Vec<_> = reading.findings.iter().filter(|finding| finding.is_error()).collect();
        let told = faults.iter().map(|finding| {
            let (line, message) = (finding.at.line, &finding.message);
            format!("{message} (`{}`, line {line})", finding.pointer)
        });
        let told: Vec<String> = told.collect();
        let is_ours = faults.iter().all(|finding| is_refusal(&finding.message));
        return if is_ours { Outcome::Refused(told.join("; ")) } else { Outcome::Odd(told.join("; ")) };
    };
    let (input, events) = made_up(name);
    let ended = world::run(definition, input, &events);
    let unable = UNABLE.iter().find(|(known, _)| *known == name);
    let steps = ended.entered.join(", ");
    match ended.end {
        Some(End::Finished(_)) => Outcome::Runs(steps),
        Some(End::Failed(error)) if text.contains("raise:") => {
            Outcome::Runs(format!("{steps}, which raises {}", error.title.unwrap_or_default()))
        }
        None => Outcome::Runs(format!("{steps}, and listens on")),
        Some(End::Failed(error)) if error.kind.ends_with("/expression") && unable.is_some() => {
            Outcome::Runs(format!("{steps}; {}", unable.map_or("", |(_, why)| *why)))
        }
        Some(End::Failed(error)) => Outcome::Odd(format!("fails: {}", error.json())),
        Some(End::Canceled) => Outcome::Odd("canceled".into()),
    }
}
