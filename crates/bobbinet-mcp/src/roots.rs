//! The folders and files that a server is told to work with, if it asks: guidance, which keeps it from nothing.

use std::path::{self, PathBuf};

use bobbinet_core::Json;
use reqwest::Url;
use serde::Serialize;

/// How a server asks for them.
pub(crate) const METHOD: &str = "roots/list";

/// The answer to it.
#[derive(Serialize)]
struct Roots {
    roots: Vec<Root>,
}

/// One of them, as the protocol has it.
#[derive(Serialize)]
struct Root {
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// The answer to a server that asks. A path that is relative is so to where this process works.
pub(crate) fn answer(roots: &[PathBuf]) -> Json {
    let root = |path: &PathBuf| {
        let whole = path::absolute(path).ok()?;
        let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
        // Without what stands for nothing: not each server takes `/a/./b` for `/a/b`.
        let whole: PathBuf = whole.components().collect();
        let uri = Url::from_file_path(whole).ok()?.into();
        Some(Root { uri, name })
    };
    Json::of(&Roots { roots: roots.iter().filter_map(root).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_the_url_of_a_file() {
        let roots = ["/srv/./my docs", "/"].map(PathBuf::from);
        let expected = r#"{"roots":[{"uri":"file:///srv/my%20docs","name":"my docs"},{"uri":"file:///"}]}"#;
        assert_eq!(answer(&roots).as_str(), expected);
        let here = answer(&[PathBuf::from("x")]).to_value()["roots"][0]["uri"].as_str().map(str::to_owned);
        assert!(here.is_some_and(|uri| uri.starts_with("file:///") && uri.ends_with("/x")));
    }
}
