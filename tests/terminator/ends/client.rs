//! A client that connects with a will, sends, and ends as its cell says. It must not judge.

use std::io;
use std::net::SocketAddr;

use tests::clients::tls::{Connector, TlsClient};
use tests::mqtt::{self, Version};
use tests::sendqueue::drained;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::{Cell, Ending};
use crate::fixture::SOON;

/// When a client sends.
pub(super) enum Start {
    /// With its CONNECT, without waiting for an answer, as MQTT allows. It leaves when all that has arrived: with an
    /// answer unread, closing is a reset, which would take back what is still on the way.
    Eager,
    /// As soon as it is connected.
    Connected,
    /// When it has said that it is connected, by dropping this, and has been told to go on.
    Told(mpsc::Sender<()>, watch::Receiver<bool>),
}

/// Where the will of a client with this topic goes.
pub(super) fn will_topic(topic: &str) -> String {
    format!("will/{topic}")
}

/// Runs a client from its connection to its end. `gone` is told when all that it sent has arrived at the server, and
/// nobody is there any more to take an answer (but for [`Ending::Notify`]).
pub(super) async fn run(
    connector: &Connector,
    server: SocketAddr,
    cell: Cell,
    name: &str,
    start: Start,
    gone: watch::Sender<bool>,
) -> io::Result<()> {
    let topic = cell.id(name);
    let mut client = connector.connect(server).await?;
    let local = client.tcp().local_addr()?;
    let arrived = async || timeout(2 * SOON, drained(local, server)).await;
    let messages = messages(cell, &topic);
    match start {
        Start::Eager => {
            let all = [connect(&topic), mqtt::PINGREQ.to_vec(), messages];
            client.send(&all.concat()).await?;
            arrived().await?;
        }
        Start::Connected => {
            introduce(&mut client, &topic, cell.ending).await?;
            client.send(&messages).await?;
        }
        Start::Told(connected, mut go) => {
            introduce(&mut client, &topic, cell.ending).await?;
            drop(connected);
            // Who does not say go any more has said it.
            let _ = go.wait_for(|go| *go).await;
            client.send(&messages).await?;
        }
    }
    match cell.ending {
        Ending::Notify | Ending::NotifyAndGo => client.close_notify().await?,
        Ending::Fin => {}
        Ending::CutRecord => {
            let more = mqtt::publish(Version::V311, &topic, 0, 0, &[0; 1000]);
            client.send_half_a_record(&more).await?;
        }
        Ending::Reset | Ending::Killed => arrived().await?,
    }
    match cell.ending {
        Ending::Notify => {
            arrived().await?;
            gone.send_replace(true);
            // However that ends: what matters is that the client is there.
            client.read_to_end().await;
            return Ok(());
        }
        Ending::Reset => client.reset()?,
        _ => drop(client),
    }
    arrived().await?;
    gone.send_replace(true);
    Ok(())
}

/// CONNECT and its answer, PINGREQ and its answer; the last one stays unread where that makes the ending.
async fn introduce(client: &mut TlsClient, topic: &str, ending: Ending) -> io::Result<()> {
    client.send(&connect(topic)).await?;
    if !client.read_packet().await?.accepts() {
        return Err(io::Error::other("refused"));
    }
    client.send(&mqtt::PINGREQ).await?;
    if ending == Ending::Killed {
        timeout(SOON, client.tcp().peek(&mut [0])).await??;
    } else {
        client.read_packet().await?;
    }
    Ok(())
}

/// CONNECT of MQTT 3.1.1 with a will.
fn connect(topic: &str) -> Vec<u8> {
    const CLEAN_SESSION_AND_WILL: u8 = 0b110;
    let mut body = text("MQTT");
    body.extend([4, CLEAN_SESSION_AND_WILL, 0, 60]);
    body.extend([text(topic), text(&will_topic(topic)), text("gone")].concat());
    mqtt::packet(0x10, &body)
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// All that a client says after its connection.
fn messages(cell: Cell, topic: &str) -> Vec<u8> {
    let (count, size) = cell.sent.messages();
    let mut all = mqtt::publish(Version::V311, topic, 0, 0, &vec![7; size]).repeat(count);
    if cell.says_disconnect {
        all.extend(mqtt::DISCONNECT);
    }
    all
}
