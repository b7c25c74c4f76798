//! Peers that no HTTP library would be.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::node::PATIENCE;

/// What the server says until it closes the connection after these bytes and no more.
pub(crate) async fn closed_after(address: SocketAddr, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection is closed in time").unwrap();
    String::from_utf8(answer).unwrap()
}
