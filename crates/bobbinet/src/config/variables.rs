//! `${…}` in a configuration: the environment, and the places that editors know by name.

use std::{collections::BTreeMap, path::PathBuf};

/// What the names stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables {
    /// The environment of the process, for `${env:NAME}`.
    pub(crate) environment: BTreeMap<String, String>,
    /// `${workspaceFolder}`: the folder that the file belongs to.
    pub(crate) workspace: PathBuf,
    /// `${userHome}`.
    pub(crate) home: Option<PathBuf>,
    /// The ids that the file declares as inputs, each with what it is if nobody is asked.
    pub(crate) inputs: BTreeMap<String, Option<String>>,
    /// Whether the file is another program's: then `$NAME` and `{env:NAME}` are variables too, as Gemini CLI and OpenCode have them.
    pub(crate) is_foreign: bool,
}

/// A name that stands for nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unset {
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Variables {
    /// The text with its variables replaced, and with the home folder for a `~` before it. `$${` stands for `${`.
    pub(crate) fn expand(&self, text: &str) -> Result<String, Unset> {
        let (mut expanded, mut rest) = match (text.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => (home.display().to_string(), rest),
            _ => (String::with_capacity(text.len()), text),
        };
        if self.is_foreign
            && let Some(name) = bare_name(text)
        {
            return self.environment_value(name);
        }
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                expanded.push_str(&rest[..at]);
                expanded.push('{');
                rest = &rest[at + 2..];
                continue;
            }
            expanded.push_str(&rest[..at]);
            let inside = &rest[at + 2..];
            let end = inside.find('}').ok_or_else(|| Unset {
                // The text itself may be a secret.
                message: "there is a ${ here and no }".to_owned(),
                hint: "write $${ for a ${ that is meant as such".to_owned(),
            })?;
            expanded.push_str(&self.value(&inside[..end])?);
            rest = &inside[end + 1..];
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn value(&self, reference: &str) -> Result<String, Unset> {
        if let Some((kind, name)) = reference.split_once(':') {
            return match kind {
                "env" => self.environment_value(name),
                "input" => self.input(name),
                _ if name.starts_with('-') => {
                    let value = self.environment.get(kind).filter(|value| !value.is_empty());
                    Ok(value.cloned().unwrap_or_else(|| name[1..].to_owned()))
                }
                _ => Err(Unset {
                    message: format!("${{{reference}}} is none of the variables known here"),
                    hint: "there are ${NAME}, ${NAME:-default}, ${env:NAME}, ${workspaceFolder} and ${userHome}"
                        .to_owned(),
                }),
            };
        }
        match reference {
            "workspaceFolderBasename" => {
                Ok(self.workspace.file_name().unwrap_or_default().to_string_lossy().into_owned())
            }
            // Claude Code sets these for the servers of a project or of a plugin, whose file is in its folder.
            "CLAUDE_PROJECT_DIR" | "CLAUDE_PLUGIN_ROOT" if !self.environment.contains_key(reference) => {
                Ok(self.workspace.display().to_string())
            }
            "workspaceFolder" | "workspaceRoot" | "cwd" => Ok(self.workspace.display().to_string()),
            "userHome" => self
                .home
                .as_ref()
                .map(|home| home.display().to_string())
                .ok_or_else(|| Unset { message: "${userHome} is not known".to_owned(), hint: "set HOME".to_owned() }),
            "pathSeparator" | "/" => Ok("/".to_owned()),
            name => self.environment_value(name),
        }
    }

    fn environment_value(&self, name: &str) -> Result<String, Unset> {
        // A file's words are advised to nobody as a part of a command, unless they can be nothing but a name.
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        self.environment.get(name).cloned().ok_or_else(|| Unset {
            message: format!("the variable {name} is not set"),
            hint: match is_name {
                true => format!("set it (export {name}=…), or give a default: ${{{name}:-…}}"),
                false => "a variable's name has letters, digits and _ only".to_owned(),
            },
        })
    }

    fn input(&self, id: &str) -> Result<String, Unset> {
        let name = input_variable(id);
        let declared = self.inputs.get(id);
        if let Some(Some(default)) = declared {
            return Ok(self.environment.get(&name).unwrap_or(default).clone());
        }
        let message = match declared.is_some() {
            true => format!("${{input:{id}}} would ask a person, and there is nobody to ask"),
            false => format!("${{input:{id}}} names an input that the file does not declare"),
        };
        Err(Unset { message, hint: format!("write ${{env:{name}}} in its place, and set {name} before the start") })
    }
}

/// The variable that can be set in place of an input.
pub(crate) fn input_variable(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// The name in `$NAME` or `{env:NAME}`, if that is all there is.
pub(crate) fn bare_name(text: &str) -> Option<&str> {
    let braced = text.strip_prefix("{env:").and_then(|rest| rest.strip_suffix('}'));
    let name = braced.or_else(|| text.strip_prefix('$'))?;
    let is_word = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let is_name = is_word && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
    (is_name || (braced.is_some() && !name.is_empty())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let environment = [("A", "1"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = Variables {
            environment: environment.into(),
            workspace: PathBuf::from("/ws"),
            home: Some(PathBuf::from("/home/u")),
            inputs: [
                ("key".to_owned(), None),
                ("a".to_owned(), Some("x".to_owned())),
                ("mode".to_owned(), Some("x".to_owned())),
            ]
            .into(),
            is_foreign: true,
        };
        let found = variables.expand(text);
        match expected {
            Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{text}"),
            Err(words) => {
                let message = found.expect_err("a variable that is not there").message;
                assert!(message.contains(words), "{text}: {message}");
            }
        }
    }

    #[test]
    fn variables_are_replaced_in_every_dialect() {
        check("plain $5 {x}", Ok("plain $5 {x}"));
        check("${A}-${env:A}", Ok("1-1"));
        check("${B:-two} ${EMPTY:-x} ${A:-no}", Ok("two x 1"));
        check("${B:-}", Ok(""));
        check("${workspaceFolder}/d ${userHome}", Ok("/ws/d /home/u"));
        check("$${A}", Ok("${A}"));
        check("${workspaceFolderBasename} ${cwd}", Ok("ws /ws"));
        check("${CLAUDE_PROJECT_DIR}/x", Ok("/ws/x"));
        check("~/docs", Ok("/home/u/docs"));
        check("~", Ok("/home/u"));
        check("~other/x a~/b", Ok("~other/x a~/b"));
        check("$A", Ok("1"));
        check("{env:A}", Ok("1"));
        check("$5", Ok("$5"));
        check("$A and {env:A}", Ok("$A and {env:A}"));
        check("$B", Err("the variable B is not set"));
        check("${B}", Err("the variable B is not set"));
        check("${env:B}", Err("the variable B is not set"));
        check("${input:key}", Err("nobody to ask"));
        check("${input:other}", Err("does not declare"));
        check("${input:mode} ${input:a}", Ok("x 1"));
        check("${command:x}", Err("none of the variables"));
        check("${A", Err("no }"));
    }
}
