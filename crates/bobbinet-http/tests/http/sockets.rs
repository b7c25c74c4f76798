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
    rest(&mut after(address, sent).await).await
}

/// A connection over which these bytes were sent.
pub(crate) async fn after(address: SocketAddr, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    stream
}

/// What the server says until it closes the connection.
pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection is closed in time").unwrap();
    String::from_utf8(answer).unwrap()
}

/// The status of the answer that comes first.
pub(crate) async fn status(stream: &mut TcpStream) -> String {
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer in time").unwrap();
    String::from_utf8_lossy(&answer[9..]).into_owned()
}
