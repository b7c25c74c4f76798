//! Errors of a run, as RFC 7807 describes problems.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Where the standard's own types stand.
const TYPES: &str = "https://open-workflow-specification.org/spec/1.0.0/errors/";

/// What went wrong in a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What kind of thing went wrong: a URI.
    #[serde(rename = "type")]
    pub kind: String,
    /// A number as HTTP has them.
    pub status: u16,
    /// It in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// It in more words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The step, as a JSON Pointer into the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// The standard's own kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// What is configured is wrong or missing.
    Configuration,
    /// A value is not what a schema says.
    Validation,
    /// An expression gave nothing.
    Expression,
    /// Whoever called is not known there.
    Authentication,
    /// It may not.
    Authorization,
    /// It took too long.
    Timeout,
    /// Nobody was reached, or the answer was garbage.
    Communication,
    /// Anything else.
    Runtime,
}

impl Standard {
    /// The type's name and usual status.
    fn name(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Configuration => ("configuration", 400, "Configuration Error"),
            Self::Validation => ("validation", 400, "Validation Error"),
            Self::Expression => ("expression", 400, "Expression Error"),
            Self::Authentication => ("authentication", 401, "Authentication Error"),
            Self::Authorization => ("authorization", 403, "Authorization Error"),
            Self::Timeout => ("timeout", 408, "Timeout Error"),
            Self::Communication => ("communication", 500, "Communication Error"),
            Self::Runtime => ("runtime", 500, "Runtime Error"),
        }
    }
}

impl Error {
    /// One of the standard's.
    pub fn standard(kind: Standard, detail: impl Into<String>) -> Self {
        let (name, status, title) = kind.name();
        Self {
            kind: format!("{TYPES}{name}"),
            status,
            title: Some(title.to_owned()),
            detail: Some(detail.into()),
            instance: None,
        }
    }

    /// With the step that it comes from, if it names none.
    pub(super) fn at(self, pointer: &str) -> Self {
        Self { instance: Some(self.instance.unwrap_or_else(|| pointer.to_owned())), ..self }
    }

    /// As JSON.
    pub fn json(&self) -> Json {
        let mut json = Map::new();
        json.insert("type".into(), Json::from(self.kind.clone()));
        json.insert("status".into(), Json::from(self.status));
        for (name, value) in [("title", &self.title), ("detail", &self.detail), ("instance", &self.instance)] {
            if let Some(value) = value {
                json.insert(name.into(), Json::from(value.clone()));
            }
        }
        Json::Object(json)
    }

    /// Whether it has these members. Types of the standard match in the spelling of its older drafts too.
    pub(super) fn has(&self, members: &[(String, Json)]) -> bool {
        members.iter().all(|(name, wanted)| {
            let own = match name.as_str() {
                "type" => return wanted.as_str().is_some_and(|wanted| is_same_type(&self.kind, wanted)),
                "status" => return wanted.as_u64() == Some(u64::from(self.status)),
                "title" => &self.title,
                "detail" => &self.detail,
                "instance" => &self.instance,
                _ => return false,
            };
            own.as_deref() == wanted.as_str()
        })
    }
}

fn is_same_type(a: &str, b: &str) -> bool {
    fn own(kind: &str) -> Option<&str> {
        const OTHERS: [&str; 4] = [
            TYPES,
            "https://open-workflow-specification.org/dsl/errors/types/",
            "https://serverlessworkflow.io/spec/1.0.0/errors/",
            "https://serverlessworkflow.io/dsl/errors/types/",
        ];
        OTHERS.iter().find_map(|start| kind.strip_prefix(start))
    }
    a == b || own(a).is_some_and(|a| own(b) == Some(a))
}
