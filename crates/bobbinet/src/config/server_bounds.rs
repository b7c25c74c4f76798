//! What a server's processes may take of the machine, and which of its results are kept, as a configuration says it.

use std::time::Duration;

use bobbinet_mcp::{CacheConfig, CachedTools, ProcessLimits};

use super::{limits::size, reader::Reader, tree::Node};

/// The word for a limit that there is not.
const NONE: &str = "none";

/// How settings of `cache` look.
const CACHE_EXAMPLE: &str =
    "for example cache: { ttl: 30s }, cache: { ttl: 30s, tools: [search], scope: public }, or cache: off";

/// The settings below `rlimits`.
pub(super) fn rlimits(reader: &mut Reader<'_>, node: &Node) -> ProcessLimits {
    let ProcessLimits { open_files, processes, memory, file_size, core } = ProcessLimits::default();
    let names = ["open_files", "processes", "memory", "file_size", "core"];
    let fields = reader.fields(node, "rlimits", &names);
    let mut of = |name: &str, default: Option<u64>| {
        let Some(node) = fields.get(name) else { return default };
        let limit = |text: &str| if text == NONE { Some(None) } else { size(text).map(Some) };
        reader.parsed(node, name, limit).unwrap_or(default)
    };
    ProcessLimits {
        open_files: of("open_files", open_files),
        processes: of("processes", processes),
        memory: of("memory", memory),
        file_size: of("file_size", file_size),
        core: of("core", core),
    }
}

/// The settings below `cache`.
pub(super) fn cache(reader: &mut Reader<'_>, node: &Node) -> CacheConfig {
    if !node.is_map() {
        let word = reader.word(node, "cache");
        if word.as_deref().is_some_and(|word| !matches!(word, "off" | "false")) {
            reader.fault_with_hint(node.at, "cache is a map, or off", CACHE_EXAMPLE);
        }
        return CacheConfig { is_on: false, ..CacheConfig::default() };
    }
    let fields = reader.fields(node, "cache", &["ttl", "tools", "scope"]);
    let time = |text: &str| humantime::parse_duration(text).ok();
    let ttl = fields.get("ttl").and_then(|node| reader.parsed(node, "ttl", time));
    let tools = match fields.get("tools") {
        Some(node) => CachedTools::These(reader.words(node, "tools")),
        None => CachedTools::Reads,
    };
    let scope = |text: &str| match text {
        "private" => Some(false),
        "public" => Some(true),
        _ => None,
    };
    let is_public = fields.get("scope").and_then(|node| reader.parsed(node, "scope", scope)).unwrap_or_default();
    CacheConfig { is_on: true, tools, ttl: ttl.unwrap_or(Duration::ZERO), is_public }
}

#[cfg(test)]
mod tests {
    use bobbinet_mcp::{McpConfig, PinPolicy, ServerAddress, StartPolicy};

    use super::*;
    use crate::config::{Strictness, read};

    fn of(settings: &str) -> Result<McpConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bobbinet.yaml");
        std::fs::write(&path, format!("agents: {{ a: {{ mcp: {{ command: [ls] }}{settings} }} }}\n")).unwrap();
        let read = read(&path, Strictness::Strict);
        match read.findings.into_iter().find(|finding| finding.is_error()) {
            Some(finding) => Err(format!("{} ({})", finding.message, finding.hint.unwrap_or_default())),
            None => Ok(read.config.agents.into_values().next().unwrap().into_mcp("a")),
        }
    }

    #[test]
    fn limits_are_sizes_and_none_is_none() {
        let check = |settings: &str, expected: ProcessLimits| {
            let ServerAddress::Command(server) = of(settings).unwrap().server else { panic!("{settings}") };
            assert_eq!(server.rlimits, expected, "{settings}");
        };
        check("", ProcessLimits::default());
        check(
            ", rlimits: { open_files: 256, memory: 2GiB, processes: none, file_size: none }",
            ProcessLimits {
                open_files: Some(256),
                processes: None,
                memory: Some(2 << 30),
                file_size: None,
                ..ProcessLimits::default()
            },
        );
        assert!(of(", rlimits: { memry: 1 }").unwrap_err().contains("did you mean \"memory\""));
        assert!(of(", rlimits: { memory: much }").unwrap_err().contains("memory cannot be \"much\""));
    }

    #[test]
    fn what_is_kept_is_said_in_a_map_or_not_at_all() {
        let check =
            |settings: &str, expected: CacheConfig| assert_eq!(of(settings).unwrap().cache, expected, "{settings}");
        check("", CacheConfig::default());
        check(", cache: off", CacheConfig { is_on: false, ..CacheConfig::default() });
        let all = CacheConfig { tools: CachedTools::Reads, ttl: Duration::from_secs(30), ..CacheConfig::default() };
        check(", cache: { ttl: 30s }", all.clone());
        let tools = CachedTools::These(vec!["search".to_owned()]);
        check(", cache: { ttl: 30s, tools: [search], scope: public }", CacheConfig { tools, is_public: true, ..all });
        assert!(of(", cache: on").unwrap_err().contains("for example cache:"));
        assert!(of(", cache: { ttl: soon }").unwrap_err().contains("ttl cannot be"));
        assert!(of(", cache: { scope: all }").unwrap_err().contains("scope cannot be"));
        assert_eq!(of(", pin: warn").unwrap().pin, PinPolicy::Warn);
        assert_eq!(of(", pin: off").unwrap().pin, PinPolicy::Off);
        assert_eq!(of("").unwrap().pin, PinPolicy::Ask);
        assert_eq!(of(", start: on-demand").unwrap().start, StartPolicy::OnDemand);
        assert_eq!(of("").unwrap().start, StartPolicy::WithNode);
        assert!(of(", start: never").unwrap_err().contains("start cannot be \"never\""));
        assert!(of(", pin: never").unwrap_err().contains("pin cannot be \"never\""));
    }
}
