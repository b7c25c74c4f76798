//! What has not arrived at webhooks, as the node's owner sees it.

use bobbinet_push::{Letter, LetterState, Letters};
use serde_json::{Value, json};

/// All of it.
pub(super) fn shown(letters: &Letters) -> Value {
    json!({
        "letters": letters.letters.iter().map(letter).collect::<Vec<_>>(),
        "waiting": letters.waiting,
        "leftOut": letters.left_out,
    })
}

fn letter(letter: &Letter) -> Value {
    let Letter { task, of, id, receiver, state, why } = letter;
    let mut shown = json!({
        "task": task, "webhook": id, "agent": of.agent, "owner": of.owner, "receiver": receiver, "why": why,
    });
    match state {
        LetterState::Retrying { attempts, next } => {
            shown["state"] = "retrying".into();
            shown["attempts"] = (*attempts).into();
            shown["next"] = next.to_string().into();
        }
        LetterState::Dead { at } => {
            shown["state"] = "dead".into();
            shown["since"] = at.to_string().into();
        }
    }
    shown
}
