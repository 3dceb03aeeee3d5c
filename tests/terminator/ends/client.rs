//! A client that connects with a will, sends, and ends as its cell specifies. It must not check the result.

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
    /// With its CONNECT, without waiting for an answer, as MQTT allows. It leaves when everything has arrived:
    /// closing with an unread answer is a reset, which would discard data in flight.
    Eager,
    /// As soon as it is connected.
    Connected,
    /// After it has reported that it is connected, by dropping this, and has received the signal to go on.
    Told(mpsc::Sender<()>, watch::Receiver<bool>),
}

/// Returns the topic of the will of a client with this topic.
pub(super) fn will_topic(topic: &str) -> String {
    format!("will/{topic}")
}

/// Runs a client from its connection to its end. `gone` is notified when all its data has arrived at the server
/// and, except for [`Ending::Notify`], the client reads no answers any more.
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
            // A dropped sender counts as the signal.
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
            // The result does not matter: the client is still there.
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

/// Exchanges CONNECT and PINGREQ with their answers; leaves the last answer unread if the ending requires that.
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

/// Makes an MQTT 3.1.1 CONNECT with a will.
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

/// Makes all packets that a client sends after its connection.
fn messages(cell: Cell, topic: &str) -> Vec<u8> {
    let (count, size) = cell.sent.messages();
    let mut all = mqtt::publish(Version::V311, topic, 0, 0, &vec![7; size]).repeat(count);
    if cell.says_disconnect {
        all.extend(mqtt::DISCONNECT);
    }
    all
}
