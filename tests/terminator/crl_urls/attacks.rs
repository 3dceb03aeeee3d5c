//! Servers that are broken, or someone else's: they cost bounded memory, and give back nothing that was revoked.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tests::pki::Ca;
use tests::web::Web;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{Fetching, alert, read_head, serve, url};

/// Each request is answered with a head and then pieces for ever.
async fn endless(head: &'static str, piece: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(&piece).await;
            }
        }
    });
    format!("http://{address}/ca.crl")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_given_up_at_the_limit() {
    let piece = vec![b'x'; 0x10000];
    let chunk = [b"10000\r\n", &*piece, b"\r\n"].concat();
    let urls = [
        endless("HTTP/1.1 200 OK\r\n\r\n", piece).await,
        endless(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            chunk,
        )
        .await,
        endless(
            "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
            vec![b'x'],
        )
        .await,
    ];
    let (web, devices) = (Web::http(), Ca::new("devices"));
    let bad = devices.leaf().client_auth().issue();
    web.put("ca.crl", &devices.crl(&[&bad]));
    let urls = urls
        .iter()
        .map(|one| url(one))
        .chain([url(&web.url("ca.crl"))]);
    let fetching = Fetching::start(devices, urls.collect()).await;
    for index in 0..3 {
        let message = fetching.failure(index, "TooLarge");
        assert_eq!(message, "the answer has more than 67108864 bytes");
    }
    // Another one is fetched beside them.
    fetching.wait_for_loads("ok", 1.0);
    assert_eq!(
        fetching.refusal(&bad).await,
        Some(alert("CertificateRevoked"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let (target, requests) = serve(Arc::new(Semaphore::new(9)), Vec::new()).await;
    let head: &'static str = Box::leak(
        format!("HTTP/1.1 302 Found\r\nLocation: http://u:p@{target}/new?t=s\r\n\r\n").into(),
    );
    let redirecting = endless(head, Vec::from(b"x")).await;
    let fetching = Fetching::start(Ca::new("devices"), vec![url(&redirecting)]).await;
    let message = fetching.failure(0, "Redirected");
    let expected =
        format!("the server redirects to http://{target}/new; use that URL, if it is right");
    assert_eq!(message, expected);
    assert_eq!(requests.load(Ordering::Relaxed), 0);
}

/// Who answers for a URL by HTTP may be anyone on the way: the lists of another CA with the same name, an older list, and
/// another CA's certificate beside its list change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_stays_revoked() {
    let (web, devices, namesake) = (Web::http(), Ca::new("devices"), Ca::new("devices"));
    let bad = devices.leaf().client_auth().issue();
    web.put("ca.crl", &devices.crl_between(&[&bad], -60, 3600));
    let fetching = Fetching::start(devices, vec![url(&web.url("ca.crl"))]).await;
    fetching.wait_for_loads("ok", 1.0);
    let older = fetching.devices.crl_between(&[], -120, 3600);
    let beside = format!("{}{}", namesake.cert_pem(), namesake.crl(&[]));
    let another = format!(
        "{}{}",
        Ca::new("another").cert_pem(),
        Ca::new("another").crl(&[])
    );
    for (list, outcome) in [
        (older, "older"),
        (namesake.crl(&[]), "SignatureMismatch"),
        (beside, "SignatureMismatch"),
        (another, "UnknownIssuer"),
        ("gone".to_owned(), "BrokenList"),
    ] {
        let labels = format!("{{outcome=\"{outcome}\",source=\"url\"}}");
        let line = format!("mqtt_tls_revocation_list_loads_total{labels}");
        let before = fetching.fixture.metric(&line);
        web.put("ca.crl", &list);
        fetching.fixture.terminator.reload();
        fetching.wait_for_loads(outcome, before + 1.0);
        let refusal = fetching.refusal(&bad).await;
        assert_eq!(refusal, Some(alert("CertificateRevoked")), "{outcome}");
    }
    assert_eq!(fetching.source(0)["lists"][0]["entries"], 1);
}

/// A client of the listener's author must not be able to have the node's metadata asked.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_the_node_are_not_asked() {
    let urls = ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]"];
    let urls = urls.map(|host| url(&format!("http://{host}/latest/meta-data?x=secret")));
    let fetching = Fetching::start(Ca::new("devices"), urls.to_vec()).await;
    for index in 0..3 {
        let message = fetching.failure(index, "AddressRefused");
        assert!(message.contains("is an address of the node"), "{message}");
        assert!(!fetching.source(index).to_string().contains("secret"));
    }
}
