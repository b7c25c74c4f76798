//! A webhook's token and credentials, sealed for the log.

use bobbinet_auth::SealingKey;
use bobbinet_core::{PushConfig, Secret, TaskId};
use serde::{Deserialize, Serialize};

use crate::WebhookError;

/// What is sealed.
#[derive(Default, Serialize, Deserialize)]
struct Plain {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credentials: Option<String>,
}

/// What a webhook entrusts to us.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    pub(crate) token: Option<Secret>,
    pub(crate) credentials: Option<Secret>,
}

/// The secrets of a webhook of this task, if it has any, for nobody to read without the key. They open for no other task.
pub(crate) fn seal(key: &SealingKey, task: &TaskId, config: &PushConfig) -> Result<Option<String>, WebhookError> {
    let reveal = |secret: Option<&Secret>| secret.map(|secret| secret.reveal().to_owned());
    let plain = Plain {
        token: reveal(config.token.as_ref()),
        credentials: reveal(
            config.authentication.as_ref().and_then(|authentication| authentication.credentials.as_ref()),
        ),
    };
    if plain.token.is_none() && plain.credentials.is_none() {
        return Ok(None);
    }
    let text = serde_json::to_string(&plain).map_err(|_| WebhookError::Seal)?;
    key.seal(task.as_bytes(), &text).map(Some).ok_or(WebhookError::Seal)
}

/// The secrets again; `None` if they were sealed with another key.
pub(crate) fn open(key: &SealingKey, task: &TaskId, sealed: Option<&str>) -> Option<Secrets> {
    let Some(sealed) = sealed else { return Some(Secrets::default()) };
    let Plain { token, credentials } = serde_json::from_str(&key.open(task.as_bytes(), sealed)?).ok()?;
    Some(Secrets { token: token.map(Secret::new), credentials: credentials.map(Secret::new) })
}
