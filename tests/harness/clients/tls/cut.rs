//! Sends half a TLS record. It must not close the connection itself.

use std::io::{self, Write as _};

use tokio::io::AsyncWriteExt as _;

use super::{TlsClient, soon};

impl TlsClient {
    /// Sends the first half of the record with these bytes. Nothing can be sent afterwards.
    pub async fn send_half_a_record(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (socket, session) = self.stream.get_mut();
        session.writer().write_all(bytes)?;
        let mut record = Vec::new();
        session.write_tls(&mut record)?;
        soon(async {
            socket.write_all(&record[..record.len() / 2]).await?;
            socket.flush().await
        })
        .await
    }
}
