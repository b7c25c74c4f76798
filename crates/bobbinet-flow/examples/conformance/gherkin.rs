//! The kit's files, as far as they use Gherkin.

/// A scenario and its steps.
pub(crate) struct Scenario {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

/// A line that says what is given, done or expected, and the text below it.
pub(crate) struct Step {
    pub(crate) words: String,
    pub(crate) text: String,
}

pub(crate) fn scenarios(file: &str, text: &str) -> Vec<Scenario> {
    let mut all: Vec<Scenario> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let words = line.trim();
        if let Some(name) = words.strip_prefix("Scenario:") {
            all.push(Scenario { file: file.to_owned(), name: name.trim().to_owned(), steps: Vec::new() });
            continue;
        }
        let Some(scenario) = all.last_mut() else { continue };
        if words.starts_with("\"\"\"") {
            let indent = line.len() - line.trim_start().len();
            let inner = lines.by_ref().take_while(|line| line.trim() != "\"\"\"");
            // What is indented less than the quotes, as is blank, stays as it is.
            let inner: Vec<&str> = inner.map(|line| line.get(indent..).unwrap_or_default()).collect();
            if let Some(step) = scenario.steps.last_mut() {
                step.text = inner.join("\n");
            }
        } else if ["Given ", "When ", "Then ", "And "].iter().any(|word| words.starts_with(word)) {
            scenario.steps.push(Step { words: words.to_owned(), text: String::new() });
        }
    }
    all
}
