//! What an agent says of itself.

use std::sync::Arc;

use bobbinet_core::{AgentName, Description, Effect, Extended, Extension, IdError, Json, SkillId};

/// What an agent is and what it can do: its Agent Card, but for where it is served.
#[derive(Clone, Debug)]
pub struct Card {
    pub(crate) name: String,
    description: Description,
    skills: Vec<Skill>,
    only_for_known: Vec<Skill>,
}

/// One thing that an agent can do.
#[derive(Clone, Debug)]
pub struct Skill {
    id: String,
    skill: bobbinet_core::Skill,
}

/// What a card comes to: the agent's name, what it says of itself, and whether each skill may run again.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) name: AgentName,
    pub(crate) description: Description,
}

impl Card {
    /// A card. The name is for URLs and programs, of lower-case letters, digits, `-` and `_`; the description is for people, and for models
    /// that choose among agents.
    pub fn new(name: &str, description: &str) -> Self {
        let about = Description {
            name: name.to_owned(),
            description: description.to_owned(),
            version: "1".to_owned(),
            ..Description::default()
        };
        Self { name: name.to_owned(), description: about, skills: Vec::new(), only_for_known: Vec::new() }
    }

    /// A name for people, if it is not the one for programs.
    #[must_use]
    pub fn title(mut self, title: &str) -> Self {
        title.clone_into(&mut self.description.name);
        self
    }

    /// The version of its skills: to be changed whenever they do.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.description.version);
        self
    }

    /// Where to read more.
    #[must_use]
    pub fn documentation(mut self, url: &str) -> Self {
        self.description.documentation_url = Some(url.to_owned());
        self
    }

    /// Who provides it, and their site.
    #[must_use]
    pub fn provider(mut self, organization: &str, url: &str) -> Self {
        self.description.provider = Some((organization.to_owned(), url.to_owned()));
        self
    }

    /// One more skill. A card without any gets one that is called as the agent is.
    #[must_use]
    pub fn skill(mut self, skill: Skill) -> Self {
        self.skills.push(skill);
        self
    }

    /// One more skill that stands on the extended card only, which callers see who are known.
    #[must_use]
    pub fn skill_for_known_callers(mut self, skill: Skill) -> Self {
        self.only_for_known.push(skill);
        self
    }

    /// Its tasks cannot be streamed.
    #[must_use]
    pub fn without_streaming(mut self) -> Self {
        self.description.capabilities.streaming = false;
        self
    }

    /// Its tasks cannot be followed by webhooks.
    #[must_use]
    pub fn without_push(mut self) -> Self {
        self.description.capabilities.push_notifications = false;
        self
    }

    /// An extension that it speaks. One that is required must be named by every request.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.description.capabilities.extensions.push(extension);
        self
    }

    pub(crate) fn checked(self) -> Result<Checked, IdError> {
        let Self { name, mut description, skills, only_for_known } = self;
        description.capabilities.extensions.iter().try_for_each(check_params)?;
        description.skills = skills.into_iter().map(Skill::checked).collect::<Result<_, _>>()?;
        if description.skills.is_empty() {
            description.skills.push(Skill::new(&name, &description.description).checked()?);
        }
        let known = only_for_known.into_iter().map(Skill::checked).collect::<Result<Vec<_>, _>>()?;
        if !known.is_empty() {
            description.capabilities.extended = Some(Arc::new(Extended { description: None, skills: known }));
        }
        Ok(Checked { name: AgentName::parse(&name)?, description })
    }
}

/// Parameters that are no object would keep the whole card from being signed.
fn check_params(extension: &Extension) -> Result<(), IdError> {
    match extension.params.as_ref().and_then(|params| params.as_str().chars().next()) {
        Some('{' | 'n') | None => Ok(()),
        Some(found) => {
            let what = "the beginning of an extension's params, which are a JSON object,";
            Err(IdError::Character { what, found })
        }
    }
}

impl Skill {
    /// A skill. Unless [`Skill::effect`] says otherwise it runs at most once: what a crash cut off is asked about.
    pub fn new(id: &str, description: &str) -> Self {
        let skill = bobbinet_core::Skill {
            // Replaced by the id once that is checked.
            id: SkillId::parse("unchecked").expect("a word"),
            name: id.to_owned(),
            description: description.to_owned(),
            tags: Vec::new(),
            examples: Vec::new(),
            input: None,
            output: None,
            effect: Effect::AtMostOnce,
        };
        Self { id: id.to_owned(), skill }
    }

    /// A name for people.
    #[must_use]
    pub fn title(mut self, title: &str) -> Self {
        title.clone_into(&mut self.skill.name);
        self
    }

    /// A word to find it by.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.skill.tags.push(tag.to_owned());
        self
    }

    /// A message that it answers.
    #[must_use]
    pub fn example(mut self, message: &str) -> Self {
        self.skill.examples.push(message.to_owned());
        self
    }

    /// What running it twice means.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.skill.effect = effect;
        self
    }

    /// JSON Schemas of the data that it takes and gives. They are declared, not checked.
    #[must_use]
    pub fn schemas(mut self, input: Option<Json>, output: Option<Json>) -> Self {
        (self.skill.input, self.skill.output) = (input, output);
        self
    }

    fn checked(self) -> Result<bobbinet_core::Skill, IdError> {
        let mut skill = bobbinet_core::Skill { id: SkillId::parse(&self.id)?, ..self.skill };
        // A2A wants one at least.
        if skill.tags.is_empty() {
            skill.tags.push(self.id);
        }
        Ok(skill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extensions_params_are_an_object() {
        let refused = |params: Option<&str>| {
            let params = params.map(|text| serde_json::from_str(text).unwrap());
            let (uri, description) = ("https://example.com/ext/1".to_owned(), String::new());
            let card = Card::new("a", "b").extension(Extension { uri, description, required: false, params });
            card.checked().err().map(|error| error.to_string())
        };
        for good in [None, Some("{}"), Some(r#"{"a":[1]}"#), Some("null")] {
            assert_eq!(refused(good), None, "{good:?}");
        }
        for bad in ["[]", "7", r#""x""#, "true"] {
            let first = &bad[..1];
            let told = refused(Some(bad)).unwrap();
            assert!(told.contains("params, which are a JSON object") && told.contains(first), "{told}");
        }
    }
}
