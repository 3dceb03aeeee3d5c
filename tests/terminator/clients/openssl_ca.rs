//! A CA that is kept with `openssl ca`, with its database, its reasons and its numbers of lists: what it revokes is refused, as
//! OpenSSL itself says.

use std::path::{Path, PathBuf};
use std::process::Command;

use mqtt_tls_config::ClientAuthMode::Require;
use mqtt_tls_config::{ClientAuth, CrlUrl};
use tests::pki::{Ca, DAY, Leaf};
use tests::process::run;
use tests::web::Web;
use tests::{assets, workdir};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::{Gate, device, strict};
use crate::fixture::{SOON, trust};

const CONFIG: &str = "[ca]\ndefault_ca = own\n[own]\ndatabase = index\ncrlnumber = number\ncertificate = ca\n\
    private_key = key\ndefault_md = sha256\ndefault_crl_days = 30\ncrl_extensions = extensions\n[extensions]\n\
    authorityKeyIdentifier = keyid:always\n";

/// The folder of such a CA.
struct Folder(PathBuf);

impl Folder {
    fn of(ca: &Ca) -> Self {
        let folder = workdir::scratch("openssl-ca");
        for (name, text) in [
            ("config", CONFIG),
            ("index", ""),
            ("number", "0FFF\n"),
            ("ca", &ca.cert_pem()),
            ("key", &ca.key_pem()),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Self(folder)
    }

    fn openssl(&self, arguments: &[&str]) -> Command {
        let mut command = assets::installed("openssl");
        command.args(arguments).current_dir(&self.0);
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) {
        run(self.openssl(arguments), b"", SOON).expect_success();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }

    /// The last list in PEM.
    fn last(&self) -> String {
        String::from_utf8(self.read("list")).unwrap()
    }

    #[track_caller]
    fn revoke(&self, leaf: &Leaf, reason: &[&str]) {
        let (cert, _) = leaf.files();
        let revoke = ["ca", "-config", "config", "-revoke", text(&cert)];
        self.run(&[&revoke[..], reason].concat());
    }

    /// Issues the next list, and returns it in PEM.
    #[track_caller]
    fn list(&self) -> String {
        self.run(&["ca", "-config", "config", "-gencrl", "-out", "list"]);
        self.last()
    }

    /// The last list in DER.
    #[track_caller]
    fn list_der(&self) -> Vec<u8> {
        self.run(&["crl", "-in", "list", "-outform", "DER", "-out", "der"]);
        self.read("der")
    }

    /// Reports whether OpenSSL accepts a device by the last list.
    fn accepts(&self, leaf: &Leaf) -> bool {
        let (cert, _) = leaf.files();
        let verify = ["verify", "-crl_check", "-CAfile", "ca", "-CRLfile", "list"];
        let verify = self.openssl(&[&verify[..], &[text(&cert)]].concat());
        run(verify, b"", SOON).status.success()
    }

    /// Signs the last list (DER) again, without its `nextUpdate`.
    #[track_caller]
    fn list_without_end(&self) -> Vec<u8> {
        let list = self.list_der();
        let (_, parsed) = CertificateRevocationList::from_der(&list).unwrap();
        let mut signed = parsed.tbs_cert_list.as_ref().to_vec();
        // The second UTCTime, which has 13 digits.
        let mut times = signed.windows(2).enumerate();
        let mut times = times.by_ref().filter(|(_, pair)| *pair == [0x17, 13]);
        let (at, _) = times.nth(1).unwrap();
        signed.drain(at..at + 15);
        let long = signed[1].saturating_sub(0x80);
        let signed = element(0x30, &signed[2 + usize::from(long)..]);
        std::fs::write(self.0.join("signed"), &signed).unwrap();
        self.run(&[
            "dgst",
            "-sha256",
            "-sign",
            "key",
            "-out",
            "signature",
            "signed",
        ]);
        let signature = element(0x03, &[&[0][..], &self.read("signature")].concat());
        // ecdsa-with-SHA256 (RFC 5758, section 3.2).
        let algorithm = element(0x30, &[6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2]);
        element(0x30, &[signed, algorithm, signature].concat())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Makes an element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match content.len() {
        0..0x80 => vec![low],
        0x80..0x100 => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag][..], &length, content].concat()
}

/// Judges devices by lists in a file, and at a URL.
fn gate(devices: &Ca, list: Option<&str>, url: Option<String>) -> Gate {
    Gate::start_with(list, |config| {
        config.client_auth = ClientAuth {
            revocation: Some(strict()),
            ..trust(Require, devices)
        };
        config.crls.extend(url.map(|url| CrlUrl {
            url,
            ca: None,
            refresh: DAY,
        }));
    })
}

#[test]
fn what_an_openssl_ca_revokes_is_refused_whatever_the_reason() {
    let devices = Ca::new("devices");
    let folder = Folder::of(&devices);
    let reasons: [&[&str]; 9] = [
        &[],
        &["-crl_reason", "unspecified"],
        &["-crl_reason", "keyCompromise"],
        &["-crl_reason", "CACompromise"],
        &["-crl_reason", "affiliationChanged"],
        &["-crl_reason", "superseded"],
        &["-crl_reason", "cessationOfOperation"],
        &["-crl_hold", "holdInstructionReject"],
        &["-crl_compromise", "20260101000000Z"],
    ];
    let revoked = reasons.map(|reason| (device(&devices, "revoked"), reason));
    for (leaf, reason) in &revoked {
        folder.revoke(leaf, reason);
    }
    let good = device(&devices, "good");
    let web = Web::http();
    web.put("ca.crl", &folder.list());
    let gate = gate(&devices, None, Some(web.url("ca.crl")));
    let loads = "mqtt_tls_revocation_list_loads_total{outcome=\"ok\",source=\"url\"}";
    gate.fixture.wait_for_metric(loads, 1.0);
    for (leaf, reason) in &revoked {
        gate.refuses(leaf, 44);
        assert!(!folder.accepts(leaf), "{reason:?}");
    }
    gate.serves(&good);
    assert!(folder.accepts(&good));

    // The next list, as DER.
    folder.revoke(&good, &[]);
    folder.list();
    web.put_bytes("ca.crl", &folder.list_der());
    gate.fixture.terminator.reload();
    gate.fixture.wait_for_metric(loads, 2.0);
    gate.refuses(&good, 44);
    gate.refuses(&revoked[0].0, 44);
    gate.serves(&device(&devices, "other"));
    // The first source is the file, which is not there.
    let list = gate.status()["revocation"]["sources"][1]["lists"][0].clone();
    assert_eq!(list["issuer"], "CN=devices", "{list}");
    assert_eq!(list["entries"], reasons.len() + 1, "{list}");
}

/// OpenSSL takes such a list for one that is never outdated. RFC 5280 (section 5.1.2.5) demands an end.
#[test]
fn an_openssl_list_without_an_end_takes_no_other_ones_place() {
    let devices = Ca::new("devices");
    let folder = Folder::of(&devices);
    let (lost, good) = (device(&devices, "lost"), device(&devices, "good"));
    folder.revoke(&lost, &[]);
    let gate = gate(&devices, Some(&folder.list()), None);
    folder.revoke(&good, &[]);
    folder.list();
    std::fs::write(folder.0.join("endless"), folder.list_without_end()).unwrap();
    folder.run(&["crl", "-in", "endless", "-inform", "DER", "-out", "list"]);
    assert!(!folder.accepts(&good), "OpenSSL understands the list");
    assert!(
        folder.accepts(&device(&devices, "other")),
        "and its signature fits"
    );
    gate.replace_lists(&folder.last(), "BrokenList");
    gate.refuses(&lost, 44);
    gate.serves(&good);
    let error = gate.status()["revocation"]["sources"][0]["error"].clone();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("nextUpdate"), "{message}");
}
