//! A server at a URL that was typed, and stands in no file: read as if it did.

use std::{collections::BTreeMap, path::Path};

use bobbinet_core::AgentName;
use serde_json::{Map, Value};

use super::{AgentConfig, Finding, Reading, Severity, Source, Strictness, read_source, server_auth};

/// What findings are about.
const TYPED: &str = "bobbinet agent";

/// Reads a URL and the headers that go along with its requests, `NAME=VALUE` each. What `${env:NAME}` stands for is looked up; a secret
/// stands there in no other way, since a command line is for everybody on the machine to see.
pub(crate) fn read_typed(
    name: &AgentName,
    url: &str,
    headers: &[String],
    folder: &Path,
    environment: BTreeMap<String, String>,
) -> (AgentConfig, Vec<Finding>) {
    let (mut map, mut findings) = (Map::new(), Vec::new());
    for header in headers {
        let Some((header, value)) = header.split_once('=').filter(|(header, _)| !header.is_empty()) else {
            let fault = Finding::about(Severity::Error, TYPED, "a header has a name and a value");
            findings.push(fault.hint("for example --header 'X-Region=eu'"));
            continue;
        };
        if server_auth::is_secret(header, "") && !server_auth::is_reference(value) {
            let fault = Finding::about(Severity::Error, TYPED, format!("the header {header:?} holds a secret"));
            findings.push(fault.hint(format!("name a variable: --header '{header}=${{env:NAME}}'")));
        }
        map.insert(header.to_owned(), Value::from(value));
    }
    let text = serde_json::json!({"agents": {name.as_str(): {"mcp": {"url": url, "headers": map}}}}).to_string();
    let source = Source { name: TYPED.to_owned(), text, folder: folder.to_owned() };
    let Reading { mut config, findings: more } = read_source(&source, environment, Strictness::Strict);
    // There is no line that anybody has written.
    findings.extend(more.into_iter().map(|finding| Finding { line: 0, column: 0, excerpt: None, ..finding }));
    (config.agents.remove(name).unwrap_or_default(), findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServerConfig;

    #[test]
    fn what_is_typed_of_a_server_at_a_url_is_read_as_in_a_file() {
        let environment = BTreeMap::from([("T".to_owned(), "abc".to_owned())]);
        let read = |url: &str, headers: &[&str]| {
            let name = AgentName::parse("a").unwrap();
            let headers: Vec<String> = headers.iter().map(|&header| header.to_owned()).collect();
            read_typed(&name, url, &headers, Path::new("/"), environment.clone())
        };
        let (config, findings) = read("https://a.example/mcp", &["Authorization=Bearer ${env:T}", "X-Region=eu=1"]);
        let ServerConfig::Url(server) = config.server else { panic!("a server at a URL") };
        let header = |name: &str| server.headers.get(name).map(String::as_str);
        assert_eq!((header("authorization"), header("x-region")), (Some("Bearer abc"), Some("eu=1")));
        assert!(findings.is_empty(), "{findings:?}");
        for (url, header, expected) in [
            ("https://a.example", "Authorization=Bearer abc", "holds a secret"),
            ("https://a.example", "X-Api-Key=${env:NOT_SET}", "NOT_SET"),
            ("https://a.example", "X-Region", "a name and a value"),
            ("https://a.example", "Host=x", "the transport's own"),
            ("a.example", "X=y", "cannot be called"),
            ("http://a.example", "X-Api-Key=${env:T}", "unencrypted"),
        ] {
            let (_, findings) = read(url, &[header]);
            assert!(findings.iter().any(|finding| finding.message.contains(expected)), "{header}: {findings:?}");
            assert!(findings.iter().all(|finding| !finding.to_string().contains("abc")), "{findings:?}");
        }
    }
}
