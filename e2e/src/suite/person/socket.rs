//! WebSockets, opened as a page's script opens them: with the browser's cookies and the page's origin.

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::client::ClientRequestBuilder};

use super::Person;

/// An open WebSocket.
pub(in crate::suite) type Socket = WebSocketStream<Box<dyn Transport>>;

/// What bytes go over, encrypted or not.
pub(in crate::suite) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

impl Person {
    /// Opens a WebSocket at a path, with its query.
    pub(in crate::suite) async fn open_socket(&self, path: &str) -> Result<Socket> {
        let url = self.url(path)?;
        let mut request = ClientRequestBuilder::new(url.as_str().replacen("http", "ws", 1).parse()?)
            .with_header("Origin", self.origin.origin().ascii_serialization());
        if let Some(cookies) = self.jar().header(url.path()) {
            request = request.with_header("Cookie", cookies);
        }
        let transport: Box<dyn Transport> = match &self.tls {
            Some(tls) => Box::new(tls.connect(&url).await?),
            None => Box::new(TcpStream::connect(&*url.socket_addrs(|| None)?).await?),
        };
        let (socket, _) = client_async(request, transport)
            .await
            .with_context(|| format!("failed to open the WebSocket {}", url.path()))?;
        Ok(socket)
    }
}
