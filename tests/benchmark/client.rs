//! A client, with TLS or without. It must not measure.

use std::io;
use std::net::SocketAddr;

use rustls::HandshakeKind;
use tests::clients::tls::{Connector, TlsClient};
use tests::mqtt::{self, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::backend::ACCEPTED;

/// How clients connect.
#[derive(Clone)]
pub(crate) enum Way {
    Plain,
    Tls(Connector),
}

/// A client that has its CONNACK.
pub(crate) enum Client {
    Plain(TcpStream),
    Tls(Box<TlsClient>),
}

impl Client {
    /// Connects, and waits until the backend has accepted it.
    pub(crate) async fn connect(way: &Way, addr: SocketAddr, id: &str) -> io::Result<Self> {
        let mut client = match way {
            Way::Plain => {
                let stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                Self::Plain(stream)
            }
            Way::Tls(connector) => Self::Tls(Box::new(connector.connect(addr).await?)),
        };
        client.send(&mqtt::connect(Version::V311, id)).await?;
        client.expect(ACCEPTED).await?;
        Ok(client)
    }

    /// Reads this answer; any other is an error.
    pub(crate) async fn expect(&mut self, answer: [u8; 4]) -> io::Result<()> {
        let mut found = [0; 4];
        let mut count = 0;
        while count < found.len() {
            match self.read(&mut found[count..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => count += more,
            }
        }
        if found == answer {
            Ok(())
        } else {
            let error = format!("{found:02x?} instead of {answer:02x?}");
            Err(io::Error::other(error))
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(client) => client.send(bytes).await,
        }
    }

    /// Reads the next data; returns 0 at the end.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer).await,
            Self::Tls(client) => client.stream().read(buffer).await,
        }
    }

    /// Ends its direction, and waits for the server to end the other one.
    pub(crate) async fn leave(mut self) -> io::Result<()> {
        match &mut self {
            Self::Plain(stream) => stream.shutdown().await?,
            Self::Tls(client) => client.close_notify().await?,
        }
        let mut ignored = [0; 1024];
        while self.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
        Ok(())
    }

    /// Reports whether its session was resumed.
    pub(crate) fn is_resumed(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(client) => client.session().handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}
