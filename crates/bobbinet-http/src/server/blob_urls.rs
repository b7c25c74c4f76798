//! Where blobs are read and uploads named.

use std::net::{IpAddr, SocketAddr};

use bobbinet_core::{AgentName, TaskId};
use bobbinet_engine::{BlobHash, BlobPlace, BlobUrls, UploadId};

use super::a2a_server::{Mount, origins};

/// The URLs of one server. What is written into a task is written once, so it begins with the first origin, the configured one if there
/// is one; what is read may begin with any.
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
        let path_of = |origin: &String| url.strip_prefix(origin.as_str()).filter(|path| path.starts_with('/'));
        let path = self.origins.iter().find_map(path_of)?;
        let (agent, path) = match &self.mount {
            Mount::Root(name) => (name.clone(), path.strip_prefix('/')?),
            Mount::EachByName => {
                let (name, path) = path.strip_prefix("/agents/")?.split_once('/')?;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mount: Mount, public_url: Option<&str>, url: &str, is_ours: bool) {
        let listen = "127.0.0.1:7420".parse().unwrap();
        let urls = HttpBlobUrls::new((public_url, "http"), (listen, &[]), mount);
        let place = urls.place(url);
        assert_eq!(place.is_some(), is_ours, "{url}");
        if let Some(place) = place {
            let written = urls.url(&AgentName::parse("files").unwrap(), &place);
            assert_eq!(urls.place(&written), Some(place), "{written}");
        }
    }

    #[test]
    fn a_url_of_ours_is_known_by_any_name_of_the_node_and_no_other_is() {
        let (id, hash) = ("01939f3c-7d2e-7000-8000-000000000001", "ab".repeat(32));
        let by_name = |path: &str, is_ours| check(Mount::EachByName, None, path, is_ours);
        by_name(&format!("http://127.0.0.1:7420/agents/files/blobs/{id}"), true);
        by_name(&format!("http://localhost:7420/agents/files/tasks/{id}/blobs/{hash}"), true);
        by_name(&format!("https://127.0.0.1:7420/agents/files/blobs/{id}"), false);
        by_name(&format!("http://127.0.0.1:7421/agents/files/blobs/{id}"), false);
        by_name(&format!("http://127.0.0.1:74200/agents/files/blobs/{id}"), false);
        by_name(&format!("http://127.0.0.1:7420.example/agents/files/blobs/{id}"), false);
        by_name(&format!("http://127.0.0.1:7420/agents/files/blobs/{id}/x"), false);
        by_name("http://127.0.0.1:7420/agents/files/blobs/x", false);
        by_name(&format!("http://127.0.0.1:7420/agents/files/tasks/{id}/blobs/{}", "AB".repeat(32)), false);
        let root = Mount::Root(AgentName::parse("files").unwrap());
        check(root.clone(), None, &format!("http://127.0.0.1:7420/blobs/{id}"), true);
        check(root, None, &format!("http://127.0.0.1:7420/agents/files/blobs/{id}"), false);
        let public = Some("https://a.example/mesh/");
        check(Mount::EachByName, public, &format!("https://a.example/mesh/agents/files/blobs/{id}"), true);
        check(Mount::EachByName, public, &format!("https://a.example/agents/files/blobs/{id}"), false);
    }
}
