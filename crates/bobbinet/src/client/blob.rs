//! `bobbinet blob`: files that are uploaded for a message, and what a task refers to. Neither is ever whole in memory.

use std::{io::Write, path::Path};

use bobbinet_http::client::ClientError;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::Value;

use super::{Client, progress::Progress, resolve::Agent};
use crate::{
    cli::{Blob, Target},
    failure::{Code, Failure},
    output::Output,
};

/// Bytes of a fault's words that are read.
const FAULT_MAX: usize = 64 << 10;

pub(super) async fn run(client: &Client, command: Blob) -> Result<(), Failure> {
    match command {
        Blob::Put { file, media_type, target } => {
            let agent = client.resolver(target).await.agent()?;
            put(client.output, &agent, &file, media_type.as_deref()).await
        }
        Blob::Get { url, file, data_dir } => {
            let base = agent_of(&url).ok_or_else(|| {
                let failure = Failure::new(Code::Usage, format!("{url} is no URL of a task's blob, nor of an upload"));
                failure.hint("a task shows it: `bobbinet task get ID`")
            })?;
            let target = Target { agent: Some(format!("{base}/")), data_dir };
            let agent = client.resolver(target).await.agent()?;
            match file {
                Some(path) => {
                    let file = std::fs::File::create_new(&path).map_err(|error| unwritten(&path, &error))?;
                    let length = fetch(client.output, &agent, &url, (file, &path)).await?;
                    if client.output.is_json() {
                        return client.output.json(&serde_json::json!({ "path": path, "bytes": length }));
                    }
                    client.output.field("Saved", format_args!("{} ({length} bytes)", path.display()))
                }
                None => {
                    let out = (std::io::stdout(), Path::new("standard output"));
                    fetch(client.output, &agent, &url, out).await.map(drop)
                }
            }
        }
    }
}

/// Whether a URL is that of a blob of this agent: then it gets the agent's credentials, and no other does.
pub(super) fn is_of(agent_url: &str, url: &str) -> bool {
    agent_of(url).is_some_and(|base| base == agent_url.trim_end_matches('/'))
}

/// The URL of the agent that a blob's URL begins with.
fn agent_of(url: &str) -> Option<&str> {
    let (before, _) = url.rsplit_once("/blobs/")?;
    match before.rsplit_once("/tasks/") {
        Some((agent, task)) if !task.contains('/') => Some(agent),
        Some(_) | None => Some(before),
    }
}

/// Writes what is at a URL of the agent, and gives its length.
pub(super) async fn fetch(
    output: Output,
    agent: &Agent,
    url: &str,
    (mut to, path): (impl Write, &Path),
) -> Result<u64, Failure> {
    let request = request(agent, Method::GET, url, agent_of(url).unwrap_or(url))?;
    let mut response = sent(agent, url, request).await?;
    let (progress, whole) = (Progress::new(output), response.content_length());
    let mut length = 0;
    while let Some(bytes) = response.chunk().await.map_err(|error| broken(agent, url, error))? {
        to.write_all(&bytes).map_err(|error| unwritten(path, &error))?;
        length += bytes.len() as u64;
        progress.wait(&so_far(length, whole));
    }
    to.flush().map_err(|error| unwritten(path, &error))?;
    Ok(length)
}

async fn put(output: Output, agent: &Agent, path: &Path, media_type: Option<&str>) -> Result<(), Failure> {
    let unread =
        |error: std::io::Error| Failure::new(Code::Usage, format!("{} cannot be read: {error}", path.display()));
    let file = tokio::fs::File::open(path).await.map_err(unread)?;
    let metadata = file.metadata().await.map_err(unread)?;
    let connected = agent.connect().await?;
    let base = connected.http_url().trim_end_matches('/');
    let url = format!("{base}/blobs");
    let progress = Progress::new(output);
    progress.wait(&format!("sending {} bytes", metadata.len()));
    let mut request = request(agent, Method::POST, &url, base)?
        .header(header::CONTENT_TYPE, media_type.unwrap_or("application/octet-stream"))
        .header(header::CONTENT_LENGTH, metadata.len());
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| {
        name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b';' && byte != b'\\')
    });
    if let Some(name) = name {
        request = request.header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""));
    }
    let response = sent(agent, &url, request.body(reqwest::Body::from(file))).await?;
    let told: Value = response.json().await.map_err(|error| broken(agent, &url, error))?;
    drop(progress);
    if output.is_json() {
        return output.json(&told);
    }
    for (label, name) in [("URL", "url"), ("Size", "size"), ("SHA-256", "sha256"), ("Expires", "expires")] {
        let value = told[name].as_str().map_or_else(|| told[name].to_string(), str::to_owned);
        output.field(label, value)?;
    }
    Ok(())
}

/// A request to the agent itself: no proxy, no redirect.
fn request(agent: &Agent, method: Method, url: &str, base: &str) -> Result<RequestBuilder, Failure> {
    let http = agent.http().redirect(reqwest::redirect::Policy::none()).build();
    let request = http.map_err(|error| broken(agent, url, error))?.request(method, url);
    Ok(match agent.token(base)? {
        Some(token) => request.bearer_auth(token),
        None => request,
    })
}

async fn sent(agent: &Agent, url: &str, request: RequestBuilder) -> Result<Response, Failure> {
    let mut response = request.send().await.map_err(|error| broken(agent, url, error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() > FAULT_MAX {
            break;
        }
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("it is no blob of a bobbinet node");
    let text = format!("{url} answers {status}: {detail}");
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::new(Code::AuthFailed, text),
        _ => Failure::new(Code::Internal, text),
    })
}

fn so_far(length: u64, whole: Option<u64>) -> String {
    match whole {
        Some(whole) => format!("{} of {} MiB", length >> 20, whole >> 20),
        None => format!("{} MiB", length >> 20),
    }
}

fn broken(agent: &Agent, url: &str, source: reqwest::Error) -> Failure {
    agent.fault(ClientError::Unreachable { url: url.to_owned(), source: source.without_url() })
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Internal, format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_the_agent_alone() {
        let agent = "http://127.0.0.1:7420/agents/files/";
        assert!(is_of(agent, "http://127.0.0.1:7420/agents/files/tasks/t/blobs/h"));
        assert!(is_of(agent, "http://127.0.0.1:7420/agents/files/blobs/u"));
        for foreign in [
            "http://127.0.0.1:7420/agents/notes/tasks/t/blobs/h",
            "http://127.0.0.1:7420.example/agents/files/blobs/u",
            "https://elsewhere.example/blobs/u",
            "http://127.0.0.1:7420/agents/files/x",
        ] {
            assert!(!is_of(agent, foreign), "{foreign}");
        }
    }
}
