//! The baseline: a single-threaded plain TCP relay in tokio, as short as possible. It must not be optimized.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Relays until it is killed.
pub(crate) fn serve(listen: SocketAddr, backend: SocketAddr) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket opens");
        socket.set_reuseaddr(true).expect("it is a socket");
        socket.bind(listen).expect("the port is free");
        let listener: TcpListener = socket.listen(4096).expect("it is bound");
        loop {
            let (client, _) = listener.accept().await.expect("descriptors suffice");
            tokio::spawn(relay(client, backend));
        }
    })
}

async fn relay(mut client: TcpStream, backend: SocketAddr) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut broker = TcpStream::connect(backend).await?;
    broker.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut broker).await?;
    Ok(())
}
