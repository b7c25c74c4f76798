//! What a host's configuration needs: one entry, with paths that hold wherever the host starts it.

use std::{env, path::Path};

use serde_json::{Value, json};

use crate::{
    cli::{Mcp, McpHost},
    config::DATA,
    failure::{Code, Failure},
    node::Running,
    output::Output,
    remark::{Remark, remark},
    shell::quoted,
};

/// What the server is called there.
const NAME: &str = "bobbinet";

/// What somebody should know whose file has variables in it.
pub(super) const FEW_VARIABLES: &str =
    "hosts pass on few variables: those that the file names belong into the \"env\" of the entry that starts bobbinet";

/// Prints the entry for this host.
pub(crate) fn print_entry(output: Output, command: &Mcp, host: McpHost) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::of(Code::Internal, &error);
    let program = env::current_exe().map_err(failed)?.display().to_string();
    let absolute = |path: &Path| std::path::absolute(path).map(|path| path.display().to_string()).map_err(failed);
    let mut arguments = vec!["mcp".to_owned()];
    if let Some(file) = &command.file {
        arguments.push(absolute(file)?);
        if !file.is_file() {
            remark(
                Remark::Warning,
                format_args!("there is no file {} yet: the host can start nothing with it", file.display()),
            );
        }
        remark(Remark::Note, FEW_VARIABLES);
    }
    match (&command.node, &command.data_dir, &command.file) {
        (Some(url), _, _) => {
            arguments.extend(["--node".to_owned(), url.clone()]);
            let text =
                "the host's environment must have a token for it, in A2ACLI_BEARER or as an API key in A2ACLI_API_KEY";
            remark(Remark::Note, text);
        }
        (None, Some(data), _) => {
            warn_of_no_folder(data);
            arguments.extend(["--data-dir".to_owned(), absolute(data)?]);
        }
        (None, None, Some(_)) => {}
        // The node of this folder, wherever the host is.
        (None, None, None) => {
            let running = Running::all().into_iter().find(Running::is_here).map(|node| node.data);
            let data = running.as_deref().unwrap_or(Path::new(DATA));
            warn_of_no_folder(data);
            arguments.extend(["--data-dir".to_owned(), absolute(data)?]);
        }
    }
    output.line(entry(host, &program, &arguments))
}

/// Says that no node has ever kept its data there.
fn warn_of_no_folder(data: &Path) {
    if !data.is_dir() {
        let data = data.display();
        remark(
            Remark::Warning,
            format_args!(
                "there is no folder {data}: start a node here first (bobbinet up), or name a file: bobbinet mcp FILE --print-config …"
            ),
        );
    }
}

fn entry(host: McpHost, program: &str, arguments: &[String]) -> String {
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string());
    let server = json!({"command": program, "args": arguments});
    match host {
        McpHost::Claude | McpHost::Cursor => pretty(&json!({"mcpServers": {NAME: server}})),
        McpHost::Vscode => {
            pretty(&json!({"servers": {NAME: {"type": "stdio", "command": program, "args": arguments}}}))
        }
        McpHost::ClaudeCode => {
            let words = [program].into_iter().chain(arguments.iter().map(String::as_str)).map(quoted);
            format!("claude mcp add {NAME} -- {}", words.collect::<Vec<_>>().join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_own_form() {
        let arguments = ["mcp", "--data-dir", "/srv/my data"].map(str::to_owned);
        let of = |host| entry(host, "/bin/bobbinet", &arguments);
        let server = json!({"command": "/bin/bobbinet", "args": arguments});
        for host in [McpHost::Claude, McpHost::Cursor] {
            assert_eq!(serde_json::from_str::<Value>(&of(host)).unwrap(), json!({"mcpServers": {"bobbinet": server}}));
        }
        let vscode: Value = serde_json::from_str(&of(McpHost::Vscode)).unwrap();
        assert_eq!(
            (&vscode["servers"]["bobbinet"]["type"], &vscode["servers"]["bobbinet"]["args"][0]),
            (&json!("stdio"), &json!("mcp"))
        );
        let line = of(McpHost::ClaudeCode);
        assert_eq!(line, "claude mcp add bobbinet -- /bin/bobbinet mcp --data-dir '/srv/my data'");
    }
}
