//! Hosts that share a broker: none of their clients gets a name that certificates give at another.

use mqtt_tls_config::ClientAuthMode::{Optional, Require};
use mqtt_tls_config::{
    Backend, ClientAuth, Config, Host, Identity, IdentityMode, Mismatch, Naming, NamingAction,
    SharedNames, WithoutCertificate,
};
use mqtt_tls_terminator::Terminator;
use tests::clients::tls::{Connector, End};
use tests::mqtt::{self, Version};
use tests::pki::Ca;

use super::{by_common_name, overwritten, user_names};
use crate::fixture::{self, Fixture, Scripted, trust};

/// A host for `localhost`.
fn host(client_auth: Option<ClientAuth>, identity: Option<Identity>) -> Host {
    Host {
        client_auth,
        identity,
        ..Host::new(vec!["localhost".to_owned()])
    }
}

fn template(text: &str) -> Identity {
    user_names(Naming {
        template: text.to_owned(),
        ..by_common_name(NamingAction::Set, Mismatch::Overwrite)
    })
}

fn none() -> Identity {
    Identity {
        mode: IdentityMode::None,
        ..Identity::default()
    }
}

/// Returns why a file is refused; empty if it is served.
fn refusal(change: impl FnOnce(&mut Config)) -> String {
    let ca = Ca::new("root");
    let leaf = ca.leaf().dns("localhost").issue();
    let mut config = fixture::config(&leaf, ([127, 0, 0, 1], 1883).into());
    change(&mut config);
    let started = Terminator::start(fixture::write(&config).as_path().into(), None);
    started.err().map(|error| error.chain()).unwrap_or_default()
}

#[test]
fn clients_that_keep_their_names_do_not_share_a_broker_with_named_ones() {
    let ca = Ca::new("devices");
    let named = || host(Some(trust(Require, &ca)), Some(overwritten()));
    let kept = "identity: clients keep the user name that they send here";
    let refused = refusal(|config| config.hosts = vec![named()]);
    assert!(refused.contains(kept), "{refused}");
    assert!(refused.contains("`hosts[0]` gives"), "{refused}");
    for said in [
        "set `identity`",
        "another `backend`",
        "`sharedNames: Accept`",
    ] {
        assert!(refused.contains(said), "{refused}");
    }
    // The other way round, and by the client ID.
    let ids = || Identity {
        client_id: Some(by_common_name(NamingAction::Set, Mismatch::Overwrite)),
        ..Identity::default()
    };
    for (own, kept) in [
        (none(), "hosts[0].identity: clients keep the user name"),
        (ids(), "hosts[0].identity: clients keep the user name"),
    ] {
        let refused = refusal(|config| {
            config.client_auth = trust(Require, &ca);
            config.identity = Some(overwritten());
            config.hosts = vec![host(None, Some(own))];
        });
        assert!(refused.contains(kept), "{refused}");
        assert!(
            refused.contains("the file itself (`identity`)"),
            "{refused}"
        );
    }
    let other = || {
        Some(Backend {
            host: "127.0.0.2".to_owned(),
            port: 1883,
        })
    };
    for change in [
        &(|config: &mut Config| config.shared_names = SharedNames::Accept) as &dyn Fn(&mut Config),
        &|config| config.hosts[0].backend = other(),
        &|config| {
            config.client_auth = trust(Optional, &ca);
            config.identity = Some(overwritten());
        },
    ] {
        let refused = refusal(|config| {
            config.hosts = vec![named()];
            change(config);
        });
        assert_eq!(refused, "");
    }
}

#[test]
fn neither_other_authorities_nor_other_templates_give_the_same_names_at_one_broker() {
    let (ours, theirs) = (Ca::new("ours"), Ca::new("theirs"));
    let refused = |file: &str, of_host: &str, authority: &Ca| {
        refusal(|config| {
            config.client_auth = trust(Require, &ours);
            config.identity = Some(template(file));
            let own = Some(trust(Require, authority));
            config.hosts = vec![host(own, Some(template(of_host)))];
        })
    };
    for (file, of_host) in [("{cn}", "{cn}"), ("{cn}", "a/{cn}"), ("{cn}", "{san.dns}")] {
        let expected = "hosts[0].identity: with the same backend 127.0.0.1:1883 this can give the same user names";
        let said = refused(file, of_host, &theirs);
        assert!(said.contains(expected), "{said}");
        // Nor does another template: a device chooses the host by the name that it requests.
        let said = refused(file, of_host, &ours);
        assert_eq!(said.contains(expected), file != of_host, "{said}");
    }
    assert_eq!(refused("a/{cn}", "b/{cn}", &theirs), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_a_broker_of_its_own_leaves_clients_their_names() {
    let devices = Ca::new("devices");
    let (backend, other) = (Scripted::start().await, Scripted::start().await);
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.client_auth = trust(Require, &devices);
        config.identity = Some(overwritten());
        config.hosts = vec![Host {
            backend: Some(Backend {
                host: other.addr().ip().to_string(),
                port: other.addr().port(),
            }),
            ..host(Some(ClientAuth::default()), Some(none()))
        }];
    });
    let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
    let sent = mqtt::connect_as(Version::V5, "new", "claims a name");
    client.send(&sent).await.unwrap();
    let mut peer = other.accept_any().await;
    assert_eq!(peer.read_exact(sent.len()).await, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_certificate_gives_the_name_of_another_hosts_guests() {
    let (devices, backend) = (Ca::new("devices"), Scripted::start().await);
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.client_auth = trust(Require, &devices);
        config.identity = Some(overwritten());
        let guests = Identity {
            without_certificate: Some(WithoutCertificate {
                user_name: Some("guest".to_owned()),
                client_id_prefix: None,
            }),
            ..overwritten()
        };
        config.hosts = vec![host(Some(trust(Optional, &devices)), Some(guests))];
    });
    let leaf = devices.leaf().common_name("guest").client_auth().issue();
    let connector = Connector::with_identity(&fixture.ca, &leaf).server_name("127.0.0.1");
    let mut client = connector.connect(fixture.addr()).await.unwrap();
    client
        .send(&mqtt::connect(Version::V5, "mine"))
        .await
        .unwrap();
    let not_authorized = vec![0x20, 3, 0, 0x87, 0];
    assert_eq!(
        client.read_to_end().await,
        (not_authorized, End::CloseNotify)
    );
}

#[test]
fn a_user_name_without_a_client_id_is_warned_about() {
    let devices = Ca::new("devices");
    let start = |identity: Identity| {
        let fixture = Fixture::start_with(([127, 0, 0, 1], 1883).into(), |config| {
            config.client_auth = trust(Require, &devices);
            config.identity = Some(identity);
        });
        fixture.wait_for_generation(1);
        fixture
    };
    let reasons = |fixture: &Fixture| {
        let warnings = fixture.terminator.status().warnings;
        let found = warnings
            .iter()
            .map(|doubt| (doubt.key.clone(), doubt.reason));
        found
            .filter(|(key, _)| key == "identity")
            .collect::<Vec<_>>()
    };
    let expected = vec![("identity".to_owned(), "ClientIdKept")];
    assert_eq!(reasons(&start(overwritten())), expected);
    let both = Identity {
        client_id: Some(by_common_name(NamingAction::Set, Mismatch::Overwrite)),
        ..overwritten()
    };
    assert_eq!(reasons(&start(both)), vec![]);
}
