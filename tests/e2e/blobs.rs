//! What is too large for a task or a message, by reference: a result of 8 MB through a published server, uploads, and a gigabyte both ways.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures::StreamExt;
use reqwest::{Client, Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::node::{Agent, Node, bobbinet, log_of, tools};

const EIGHT: usize = 8 << 20;

/// A node with the published server of files, as these limits have it.
fn node(folder: &Path, limits: &Value) -> Node {
    fs::create_dir_all(folder.join("docs")).unwrap();
    let server = tools().join("npm/node_modules/.bin/mcp-server-filesystem");
    let config = json!({
        "node": {"listen": "127.0.0.1:0", "data": "./data", "limits": limits},
        "agents": {"files": {"mcp": {"command": server, "args": ["docs"]}}},
    });
    fs::write(folder.join("bobbinet.yaml"), config.to_string()).unwrap();
    Node::start(folder, &[]).unwrap()
}

fn text(length: usize) -> String {
    (0..)
        .map(|line| format!("line {line} of a long text\n"))
        .flat_map(String::into_bytes)
        .take(length)
        .map(char::from)
        .collect()
}

async fn call(http: &Client, agent: &Agent, skill: &str, arguments: Value, files: &[&str]) -> Value {
    let mut parts = vec![json!({"data": {"skill": skill, "arguments": arguments}})];
    parts.extend(files.iter().map(|url| json!({"url": url, "filename": "it"})));
    let id = format!("m-{}", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());
    let message = json!({"messageId": id, "role": "ROLE_USER", "parts": parts});
    let sent = agent.call(http, "SendMessage", &json!({"message": message})).await.unwrap();
    sent["task"].clone()
}

async fn fetch(http: &Client, agent: &Agent, url: &str, range: Option<&str>) -> Response {
    let request = http.get(url).bearer_auth(&agent.token);
    range.into_iter().fold(request, |request, range| request.header("range", range)).send().await.unwrap()
}

fn parts(task: &Value) -> &Vec<Value> {
    task["artifacts"][0]["parts"].as_array().unwrap_or_else(|| panic!("{task}"))
}

/// The part that stands for a text.
fn reference(task: &Value) -> &Value {
    parts(task).iter().find(|part| part["mediaType"].as_str().is_some_and(|it| it.starts_with("text/"))).unwrap()
}

fn contents(folder: &Path) -> Vec<PathBuf> {
    let inner = fs::read_dir(folder.join("data/blobs/contents"))
        .unwrap()
        .flat_map(|inner| fs::read_dir(inner.unwrap().path()).unwrap());
    inner.map(|file| file.unwrap().path()).filter(|path| path.extension().is_none()).collect()
}

/// What `/mcp` answers in the newest revision.
async fn asked(http: &Client, host: &Agent, method: &str, name: &str, params: &Value) -> Value {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let request = http.post(&host.url).bearer_auth(&host.token).header("accept", "application/json, text/event-stream");
    let request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
    let request = request.header("mcp-name", name);
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let body = request.json(&message).send().await.unwrap().text().await.unwrap();
    // What takes its time comes as the last event of a stream.
    let last = body.lines().filter_map(|line| line.strip_prefix("data:")).next_back();
    serde_json::from_str(last.unwrap_or(&body)).unwrap()
}

/// Directly, the npm client of this server dies of such a result; here its caller gets a preview and a URL.
#[tokio::test]
async fn eight_megabytes_through_a_published_server_arrive_whole() {
    let folder = tempfile::tempdir().unwrap();
    let whole = text(EIGHT);
    let running = node(folder.path(), &json!({}));
    fs::write(folder.path().join("docs/big.txt"), &whole).unwrap();
    let (http, agent) = (Client::new(), running.agent("files"));
    let path = folder.path().join("docs/big.txt");
    let task = call(&http, &agent, "read_text_file", json!({"path": path}), &[]).await;
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{task}\n{}", log_of(folder.path()));
    let shown = parts(&task)[0]["text"].as_str().unwrap();
    assert!(shown.len() <= 1_000 && shown.contains("8388608 bytes") && shown.contains("line 1 of"), "{shown}");
    assert!(task.to_string().len() < 8_000, "{task}");
    let part = reference(&task);
    let (url, hash) = (part["url"].as_str().unwrap(), part["metadata"]["sha256"].as_str().unwrap());
    assert_eq!((&part["metadata"]["size"], hash), (&json!(EIGHT), &*hex::encode(Sha256::digest(&whole))));

    let answer = fetch(&http, &agent, url, None).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[header::ETAG], format!("\"{hash}\""));
    assert_eq!(answer.headers()[header::CONTENT_LENGTH], EIGHT.to_string());
    assert!(answer.text().await.unwrap() == whole);
    let answer = fetch(&http, &agent, url, Some("bytes=1048570-1048585")).await;
    assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.headers()[header::CONTENT_RANGE], format!("bytes 1048570-1048585/{EIGHT}"));
    assert_eq!(answer.text().await.unwrap(), whole[1_048_570..1_048_586]);
    assert_eq!(fetch(&http, &agent, url, Some("bytes=-3")).await.text().await.unwrap(), whole[EIGHT - 3..]);
    let answer = fetch(&http, &agent, url, Some("bytes=8388608-")).await;
    assert_eq!(answer.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(answer.headers()[header::CONTENT_RANGE], format!("bytes */{EIGHT}"));
    let head = http.head(url).bearer_auth(&agent.token).send().await.unwrap();
    assert_eq!(head.headers()[header::CONTENT_LENGTH], EIGHT.to_string());
    let known = http.get(url).bearer_auth(&agent.token).header("if-none-match", format!("\"{hash}\"")).send().await;
    assert_eq!(known.unwrap().status(), StatusCode::NOT_MODIFIED);

    // Access follows the task: neither somebody without a token, nor the hash with another task.
    assert_eq!(http.get(url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let small = call(&http, &agent, "list_allowed_directories", json!({}), &[]).await;
    let other = url.replace(task["id"].as_str().unwrap(), small["id"].as_str().unwrap());
    let unknown = url.replace(task["id"].as_str().unwrap(), "01939f3c-7d2e-7000-8000-000000000001");
    let mut told = Vec::new();
    for stranger in [&other, &unknown, &url.replace(hash, &"0".repeat(64)), &url.replace(hash, "x")] {
        let answer = fetch(&http, &agent, stranger, None).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{stranger}");
        told.push(answer.text().await.unwrap());
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");

    // A host that has the result as a link fetches it with the token that it has for the door.
    let door = format!("{}/mcp", running.url);
    let minted =
        bobbinet(folder.path()).args(["token", "mint", "--data-dir", "data", "--audience", &door]).output().unwrap();
    let token = String::from_utf8(minted.stdout).unwrap().trim().to_owned();
    let host = Agent { url: door.clone(), token };
    assert_eq!(fetch(&http, &host, url, Some("bytes=0-3")).await.text().await.unwrap(), "line");
    let params = json!({"name": "files__read_text_file", "arguments": {"path": path}});
    let said = asked(&http, &host, "tools/call", "files__read_text_file", &params).await;
    let result = &said["result"];
    assert!(said.to_string().len() < 8_000 && said.to_string().contains("line 1 of"), "{said}");
    assert_ne!(result["isError"], true, "{said}");
    assert!(result["structuredContent"]["content"].as_str().unwrap().contains("8388608 bytes"), "as the tool promises");
    let blocks = result["content"].as_array().unwrap();
    let link = blocks.iter().find(|block| block["type"] == "resource_link").unwrap();
    assert_eq!(link["size"], json!(EIGHT));
    let uri = link["uri"].as_str().unwrap();
    let read = asked(&http, &host, "resources/read", uri, &json!({"uri": uri})).await;
    assert!(read["result"]["contents"][0]["text"] == whole.as_str(), "a host reads it as a resource");

    // Over a restart, and not any more once a byte has flipped.
    running.kill();
    let running = node(folder.path(), &json!({}));
    // The node has another port now. A task that is read has the URL that works, and the one of before is known too.
    let agent = running.agent("files");
    let again = agent.call(&http, "GetTask", &json!({"id": task["id"]})).await.unwrap();
    let (old, url) = (url, reference(&again)["url"].as_str().unwrap().to_owned());
    assert!(url != old && url.starts_with(&running.url), "{url}");
    assert!(parts(&again)[0]["text"].as_str().unwrap().contains(&url), "{again}");
    assert!(fetch(&http, &agent, &url, None).await.text().await.unwrap() == whole);
    let door = format!("{}/mcp", running.url);
    let minted =
        bobbinet(folder.path()).args(["token", "mint", "--data-dir", "data", "--audience", &door]).output().unwrap();
    let host = Agent { url: door, token: String::from_utf8(minted.stdout).unwrap().trim().to_owned() };
    let read = asked(&http, &host, "resources/read", old, &json!({"uri": old})).await;
    assert!(read["result"]["contents"][0]["text"] == whole.as_str(), "by the address of before");
    let copy = folder.path().join("docs/copy.txt");
    let copied = call(&http, &agent, "write_file", json!({"path": copy}), &[old]).await;
    assert_eq!(copied["status"]["state"], "TASK_STATE_COMPLETED", "{copied}");
    assert!(fs::read_to_string(copy).unwrap() == whole);
    let content = contents(folder.path()).into_iter().find(|path| path.ends_with(hash)).unwrap();
    let mut damaged = fs::read(&content).unwrap();
    damaged[3 << 20] ^= 1;
    fs::write(&content, damaged).unwrap();
    let answer = fetch(&http, &agent, &url, Some("bytes=3145728-3145730")).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.text().await.unwrap().contains("CORRUPT"));
    assert_eq!(fetch(&http, &agent, &url, Some("bytes=0-4")).await.text().await.unwrap(), "line ");
    assert!(fetch(&http, &agent, &url, None).await.bytes().await.is_err(), "the answer is cut before what is damaged");
    let log = log_of(folder.path());
    assert!(log.lines().any(|line| line.contains("a blob is damaged") && line.contains(hash)), "{log}");
    running.stop();
    let checked = bobbinet(folder.path()).args(["store", "check", "--data-dir", "data"]).output().unwrap();
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(65), "{told}");
    let holder = format!("task/{}", task["id"].as_str().unwrap());
    assert!(told.contains(&holder) && told.contains(hash) && told.contains("its pieces 3 "), "{told}");
}

#[tokio::test]
async fn an_upload_becomes_a_tools_argument() {
    let folder = tempfile::tempdir().unwrap();
    let limits = json!({"blob_bytes_max": "9MiB", "blobs_bytes_per_owner_max": "12MiB"});
    let running = node(folder.path(), &limits);
    let (http, agent) = (Client::new(), running.agent("files"));
    let uploads = format!("{}/blobs", agent.url);
    let post =
        |body: Bytes| http.post(&uploads).bearer_auth(&agent.token).header("content-type", "text/plain").body(body);
    let whole = text(EIGHT);
    let answer = post(whole.clone().into()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let told: Value = answer.json().await.unwrap();
    let url = told["url"].as_str().unwrap();
    assert_eq!((&told["size"], &told["sha256"]), (&json!(EIGHT), &json!(hex::encode(Sha256::digest(&whole)))));
    assert!(fetch(&http, &agent, url, None).await.text().await.unwrap() == whole);
    assert_eq!(http.get(url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);

    let path = folder.path().join("docs/out.txt");
    let task = call(&http, &agent, "write_file", json!({"path": path}), &[url]).await;
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{task}\n{}", log_of(folder.path()));
    assert!(fs::read_to_string(&path).unwrap() == whole);
    assert!(task.to_string().len() < 8_000, "the log has its URL");

    // What cannot be an argument says so, and nothing is called.
    let refused = async |url: &str, code: &str| {
        let task = call(&http, &agent, "write_file", json!({"path": folder.path().join("docs/no.txt")}), &[url]).await;
        assert_eq!(task["status"]["state"], "TASK_STATE_REJECTED", "{task}");
        assert!(task["status"].to_string().contains(code), "{task}");
    };
    let id = url.rsplit('/').next().unwrap();
    refused(&url.replace(id, "01939f3c-7d2e-7000-8000-000000000001"), "upload-not-found").await;
    let unknown = "01939f3c-7d2e-7000-8000-000000000001";
    refused(&format!("http://127.0.0.1:9/agents/files/blobs/{unknown}"), "foreign-url").await;
    let binary: Value = post(Bytes::from_static(&[0xff, 0xfe])).send().await.unwrap().json().await.unwrap();
    refused(binary["url"].as_str().unwrap(), "upload-not-text").await;
    assert!(!folder.path().join("docs/no.txt").exists());

    // Bounds, each with what to do.
    for (length, status, word) in [
        (9 << 20 | 1, StatusCode::PAYLOAD_TOO_LARGE, "blob_bytes_max"),
        (5 << 20, StatusCode::INSUFFICIENT_STORAGE, "blobs_bytes_per_owner_max"),
    ] {
        let answer = post(vec![b'x'; length].into()).send().await.unwrap();
        assert_eq!(answer.status(), status);
        let told = answer.text().await.unwrap();
        assert!(told.contains(word), "{told}");
    }
    assert_eq!(http.delete(url).bearer_auth(&agent.token).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(fetch(&http, &agent, url, None).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        post(Bytes::new()).header("content-encoding", "gzip").send().await.unwrap().status(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    running.stop();
    // The command line does the same.
    let running = node(folder.path(), &json!({}));
    fs::write(folder.path().join("up.txt"), &whole).unwrap();
    let run = |arguments: &[&str]| {
        let output = bobbinet(folder.path()).args(arguments).output().unwrap();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    };
    let told: Value = serde_json::from_str(&run(&["blob", "put", "up.txt", "-a", "files", "-o", "json"])).unwrap();
    let url = told["url"].as_str().unwrap();
    run(&["blob", "get", url, "--file", "down.txt"]);
    assert!(fs::read_to_string(folder.path().join("down.txt")).unwrap() == whole);
    running.stop();
}

fn memory_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Short by default: 128 MiB. `BOBBINET_LONG=1`: a gigabyte.
#[tokio::test]
async fn what_is_large_goes_up_and_down_in_constant_memory() {
    let pieces: usize = if std::env::var_os("BOBBINET_LONG").is_some() { 1 << 10 } else { 1 << 7 };
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let running = node(folder.path(), &json!({}));
    let (http, agent) = (Client::new(), running.agent("files"));
    let piece = |number: usize| Bytes::from(vec![u8::try_from(number % 251).unwrap(); 1 << 20]);
    let before = memory_kb(running.pid());
    let body = futures::stream::iter((0..pieces).map(move |number| Ok::<_, std::io::Error>(piece(number))));
    let uploads = http.post(format!("{}/blobs", agent.url)).bearer_auth(&agent.token);
    let told: Value = uploads.body(reqwest::Body::wrap_stream(body)).send().await.unwrap().json().await.unwrap();
    assert_eq!(told["size"], json!(pieces << 20), "{told}");
    let mut down = fetch(&http, &agent, told["url"].as_str().unwrap(), None).await.bytes_stream();
    let (mut hash, mut length) = (Sha256::new(), 0);
    while let Some(bytes) = down.next().await {
        let bytes = bytes.unwrap();
        hash.update(&bytes);
        length += bytes.len();
    }
    assert_eq!((length, told["sha256"].as_str().unwrap()), (pieces << 20, &*hex::encode(hash.finalize())));
    let grown = memory_kb(running.pid()).saturating_sub(before);
    println!("{pieces} MiB up and down: the node has grown by {grown} kB, to {} kB", memory_kb(running.pid()));
    assert!(grown < 32 << 10, "the node has grown by {grown} kB");
    running.stop();
}
