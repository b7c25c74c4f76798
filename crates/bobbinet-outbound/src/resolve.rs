//! From names to addresses, each time that a connection is made.

use std::{fmt, io, net::IpAddr, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{Refused, address, limits::ADDRESSES_MAX, origin::is_local_name};

/// What resolves names.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// All addresses of a name, as of now.
    ///
    /// # Errors
    /// If it has none, or nobody can be asked.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's own: `/etc/hosts`, search domains, and the name servers that it is configured with.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Whose addresses are looked at before they are connected to.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) resolver: Arc<dyn Resolver>,
    /// Whether any address will do: the origin is the operator's.
    pub(crate) is_trusted: bool,
}

impl Checked {
    /// The addresses of a name that may be connected to. One that may not spoils the rest: a name that leads to several places of
    /// which one is inside is one that somebody made so.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        if !self.is_trusted && is_local_name(name) {
            return Err(Refused::LocalName { origin: name.to_owned() }.into());
        }
        let mut addresses = self.resolver.resolve(name).await?;
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
        }
        if !self.is_trusted
            && let Some((address, why)) = addresses.iter().find_map(|ip| Some((*ip, address::refusal(*ip)?)))
        {
            return Err(Refused::Address { origin: name.to_owned(), address, why }.into());
        }
        Ok(addresses)
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let checked = self.clone();
        Box::pin(async move {
            let addresses = checked.addresses(name.as_str()).await?;
            // Port 0 is replaced by the URL's.
            let addresses: Addrs = Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}
