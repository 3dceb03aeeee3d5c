//! Writes the inputs that a target starts from: `seeds TARGET FOLDER`. It takes files of the repository, and makes
//! certificates and ClientHellos. It must not need anything else.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use mqtt_tls_judge::provider::provider;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

type Outcome<T> = Result<T, Box<dyn Error>>;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(target), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: seeds TARGET FOLDER".into());
    };
    let seeds = match target.as_str() {
        "config" => files("terminator/config/tests/corpus")?,
        "crl" => lists(),
        "der" => certificates()?
            .into_iter()
            .flat_map(|one| one.ders)
            .collect(),
        "hello" => hellos()?,
        "manifests" => [files("deploy/samples")?, files("operator/tests/plan")?].concat(),
        "mqtt" => mqtt(),
        "pem" => pems()?,
        other => return Err(format!("no seeds for {other}").into()),
    };
    for (index, seed) in seeds.iter().enumerate() {
        fs::write(Path::new(&folder).join(index.to_string()), seed)?;
    }
    Ok(())
}

/// The YAML files of a folder in the repository.
fn files(folder: &str) -> Outcome<Vec<Vec<u8>>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(Path::new(REPOSITORY).join(folder))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            files.push(fs::read(path)?);
        }
    }
    Ok(files)
}

/// A leaf, its issuer and its key.
struct Issued {
    pem: [String; 3],
    ders: Vec<Vec<u8>>,
}

fn certificates() -> Outcome<Vec<Issued>> {
    let algorithms = [
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ED25519,
    ];
    let issue = |algorithm| -> Outcome<Issued> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate_for(algorithm)?)?;
        let key = KeyPair::generate_for(algorithm)?;
        let names = vec!["mqtt.example.com".to_owned(), "192.0.2.1".to_owned()];
        let leaf = CertificateParams::new(names)?.signed_by(&key, &ca)?;
        Ok(Issued {
            pem: [leaf.pem(), ca.pem(), key.serialize_pem()],
            ders: vec![leaf.der().to_vec(), ca.der().to_vec(), key.serialize_der()],
        })
    };
    algorithms.into_iter().map(issue).collect()
}

fn pems() -> Outcome<Vec<Vec<u8>>> {
    let mut pems = Vec::new();
    for Issued { pem, .. } in certificates()? {
        let [leaf, ca, key] = &pem;
        pems.extend([pem.concat(), [&**key, leaf].concat(), ca.clone()]);
        pems.push(pem.concat().replace('\n', "\r\n"));
        pems.push(pem.concat().replace("PRIVATE KEY", "EC PRIVATE KEY"));
        pems.push(pem.concat().replace(" CERTIFICATE", " TRUSTED CERTIFICATE"));
    }
    Ok(pems.into_iter().map(String::into_bytes).collect())
}

/// Entries and extensions of revocation lists, with the number of bytes of the entries in front.
fn lists() -> Vec<Vec<u8>> {
    let time = b"\x17\x0d260101000000Z";
    let plain = [&b"\x30\x12\x02\x01\x02"[..], time].concat();
    let reason = [
        &b"\x30\x20\x02\x01\xff"[..],
        time,
        b"\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x08",
    ]
    .concat();
    let number = b"\x30\x0a\x06\x03\x55\x1d\x14\x04\x03\x02\x01\x01";
    let point = b"\x30\x0f\x06\x03\x55\x1d\x1c\x01\x01\xff\x04\x05\x30\x03\x81\x01\xff";
    let list = |entries: &[u8], extensions: &[u8]| {
        let count = u8::try_from(entries.len()).unwrap_or(u8::MAX);
        [&[count], entries, extensions].concat()
    };
    vec![
        list(b"", b""),
        list(&plain, number),
        list(
            &[&plain[..], &reason].concat(),
            &[&number[..], point].concat(),
        ),
    ]
}

fn hellos() -> Outcome<Vec<Vec<u8>>> {
    let mut hellos = vec![
        b"\x80\x2e\x01\x03\x01".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n".to_vec(),
    ];
    for versions in [
        &[&rustls::version::TLS13, &rustls::version::TLS12][..],
        &[&rustls::version::TLS12],
    ] {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"mqtt".to_vec()];
        let name = ServerName::try_from("mqtt.example.com")?;
        let mut hello = Vec::new();
        ClientConnection::new(Arc::new(config), name)?.write_tls(&mut hello)?;
        hellos.push(in_records(&hello, 100));
        hellos.push(hello);
    }
    Ok(hellos)
}

/// The message of one record in records of so many bytes.
fn in_records(record: &[u8], size: usize) -> Vec<u8> {
    let mut records = Vec::new();
    for piece in record[5..].chunks(size) {
        records.extend(&record[..3]);
        records.extend([0, u8::try_from(piece.len()).unwrap_or(u8::MAX)]);
        records.extend(piece);
    }
    records
}

/// CONNECTs of each version, with names, a will and properties, one of a bridge, an answer, and one whose length takes two
/// bytes.
fn mqtt() -> Vec<Vec<u8>> {
    vec![
        b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a".to_vec(),
        b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01a\xc0\0".to_vec(),
        b"\x10\x0f\0\x06MQIsdp\x03\xc2\0\x3c\0\x01a".to_vec(),
        b"\x10\x0d\0\x04MQTT\x84\x02\0\x3c\0\x01a".to_vec(),
        b"\x10\x1c\0\x04MQTT\x04\xce\0\x3c\0\x01a\0\x03w/1\0\x01p\0\x01u\0\x02pw".to_vec(),
        b"\x10\x2d\0\x04MQTT\x05\xce\0\x3c\x0a\x21\0\x14\x26\0\x01k\0\x01v\0\x01a\x05\x18\0\0\0\x05\0\x03w/1\0\x01p\0\x01u\0\x02pw"
            .to_vec(),
        [
            &b"\x10\x8d\x01\0\x04MQTT\x04\x02\0\x3c\0\x81"[..],
            &[b'a'; 129],
        ]
        .concat(),
        b"\x20\x02\0\0".to_vec(),
    ]
}
