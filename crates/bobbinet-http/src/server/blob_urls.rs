//! Where blobs are read and uploads named.

use std::net::{IpAddr, SocketAddr};

use bobbinet_core::{AgentName, TaskId};
use bobbinet_engine::{BlobHash, BlobPlace, BlobUrls, UploadId};

use super::a2a_server::{Mount, origins};

/// What stands before an agent's name.
const AGENTS: &str = "/agents/";

/// The URLs of one server. They begin with its first origin, the configured one if there is one. What is read may begin with any, since a
/// node can come to have another port or name, and a proxy may have given it one that it does not know: a blob is found by the ids in its
/// URL, each of them one that nobody else has.
#[derive(Clone, Debug)]
pub struct HttpBlobUrls {
    origins: Vec<String>,
    mount: Mount,
}

impl HttpBlobUrls {
    /// Those of a server that listens here, with what its setup says: `https` or `http`, its public URL, and the addresses that it is
    /// reached at where it listens at every one.
    pub fn new(
        (public_url, scheme): (Option<&str>, &'static str),
        (listen, addresses): (SocketAddr, &[IpAddr]),
        mount: Mount,
    ) -> Self {
        let port = if scheme == "https" { 443 } else { 80 };
        let public_url = public_url.map(|url| url.trim_end_matches('/'));
        Self { origins: origins(public_url, (scheme, port), listen, addresses), mount }
    }
}

impl BlobUrls for HttpBlobUrls {
    fn url(&self, agent: &AgentName, place: &BlobPlace) -> String {
        let origin = self.origins.first().map_or("", String::as_str);
        let base = match &self.mount {
            Mount::Root(_) => String::new(),
            Mount::EachByName => format!("/agents/{agent}"),
        };
        match place {
            BlobPlace::Task(task, hash) => format!("{origin}{base}/tasks/{task}/blobs/{hash}"),
            BlobPlace::Upload(_, id) => format!("{origin}{base}/blobs/{id}"),
        }
    }

    fn place(&self, url: &str) -> Option<BlobPlace> {
        let (agent, path) = match &self.mount {
            Mount::Root(name) => (name.clone(), self.path(url)?.strip_prefix('/')?),
            Mount::EachByName => {
                let (name, path) = self.path(url)?.strip_prefix(AGENTS)?.split_once('/')?;
                (AgentName::parse(name).ok()?, path)
            }
        };
        let segments: Vec<&str> = path.split('/').collect();
        match segments.as_slice() {
            ["tasks", task, "blobs", hash] => Some(BlobPlace::Task(TaskId::parse(task)?, BlobHash::parse(hash)?)),
            ["blobs", id] => Some(BlobPlace::Upload(agent, UploadId::parse(id)?)),
            _ => None,
        }
    }

    fn is_here(&self, url: &str) -> bool {
        let rest = self.origins.iter().find_map(|origin| url.strip_prefix(origin.as_str()));
        rest.is_some_and(|rest| rest.starts_with('/'))
    }

    fn moved(&self, url: &str) -> Option<String> {
        self.place(url)?;
        Some(format!("{}{}", self.origins.first()?, self.path(url)?))
    }
}

impl HttpBlobUrls {
    /// The part of a URL that is the same at each origin.
    fn path<'a>(&self, url: &'a str) -> Option<&'a str> {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
        let path = &rest[rest.find('/').filter(|authority| *authority > 0)?..];
        let begin = match &self.mount {
            Mount::EachByName => path.rfind(AGENTS),
            Mount::Root(_) => path.rfind("/tasks/").or_else(|| path.rfind("/blobs/")),
        };
        Some(&path[begin?..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a URL names a blob, and where it is now if that is another place.
    fn check(mount: Mount, public_url: Option<&str>, url: &str, expected: Option<&str>) {
        let listen = "127.0.0.1:7420".parse().unwrap();
        let urls = HttpBlobUrls::new((public_url, "http"), (listen, &[]), mount);
        let place = urls.place(url);
        assert_eq!((place.is_some(), urls.moved(url).as_deref()), (expected.is_some(), expected), "{url}");
        if let Some(place) = place {
            let written = urls.url(&AgentName::parse("files").unwrap(), &place);
            assert_eq!((urls.moved(&written).as_ref(), urls.place(&written)), (Some(&written), Some(place)));
            assert!(urls.is_here(&written));
        }
    }

    #[test]
    fn a_url_of_ours_is_known_whatever_it_begins_with_and_nothing_else_is() {
        let (id, hash) = ("01939f3c-7d2e-7000-8000-000000000001", "ab".repeat(32));
        let upload = format!("http://127.0.0.1:7420/agents/files/blobs/{id}");
        let of_task = format!("http://127.0.0.1:7420/agents/files/tasks/{id}/blobs/{hash}");
        let by_name = |path: &str, expected: Option<&str>| check(Mount::EachByName, None, path, expected);
        for origin in
            ["http://127.0.0.1:7420", "http://localhost:7420", "http://127.0.0.1:7421", "https://a.example/mesh"]
        {
            by_name(&format!("{origin}/agents/files/blobs/{id}"), Some(&upload));
            by_name(&format!("{origin}/agents/files/tasks/{id}/blobs/{hash}"), Some(&of_task));
        }
        let upper = "AB".repeat(32);
        for other in [
            format!("ftp://127.0.0.1:7420/agents/files/blobs/{id}"),
            format!("/agents/files/blobs/{id}"),
            format!("http:///agents/files/blobs/{id}"),
            format!("http://127.0.0.1:7420/agents/files/blobs/{id}/x"),
            format!("http://127.0.0.1:7420/agents/files/blobs/{id}?x"),
            format!("http://127.0.0.1:7420/blobs/{id}"),
            format!("http://127.0.0.1:7420/agents/files/tasks/{id}/blobs/{upper}"),
            "http://127.0.0.1:7420/agents/files/blobs/x".to_owned(),
            "http://127.0.0.1:7420".to_owned(),
        ] {
            by_name(&other, None);
        }
        let root = Mount::Root(AgentName::parse("files").unwrap());
        let at_root = format!("http://127.0.0.1:7420/tasks/{id}/blobs/{hash}");
        check(root.clone(), None, &format!("http://old:1/tasks/{id}/blobs/{hash}"), Some(&at_root));
        check(root, None, &format!("http://old:1/blobs/{id}"), Some(&format!("http://127.0.0.1:7420/blobs/{id}")));
        let public = Some("https://a.example/mesh/");
        check(Mount::EachByName, public, &upload, Some(&format!("https://a.example/mesh/agents/files/blobs/{id}")));
    }

    #[test]
    fn a_url_is_here_at_each_origin_of_the_node_and_at_no_other() {
        let listen = "127.0.0.1:7420".parse().unwrap();
        let urls = HttpBlobUrls::new((Some("https://a.example/mesh"), "http"), (listen, &[]), Mount::EachByName);
        for (url, is_here) in [
            ("https://a.example/mesh/x", true),
            ("http://127.0.0.1:7420/x", true),
            ("http://127.0.0.1:7420", false),
            ("http://127.0.0.1:74200/x", false),
            ("http://127.0.0.1:7420.example/x", false),
            ("http://127.0.0.1:7421/x", false),
            ("https://a.example/x", false),
        ] {
            assert_eq!(urls.is_here(url), is_here, "{url}");
        }
    }
}
