//! The names that a certificate gives: each kind, and those that would be unsafe.

use mqtt_tls_judge::facts::sha256;
use mqtt_tls_judge::identity::template::{Template, Unnamed};
use mqtt_tls_judge::identity::{Field, Identity};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, DnValue, KeyPair, PublicKeyData, SanType};

fn certificate(change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    change(&mut params);
    let der = params.self_signed(&key).unwrap().der().to_vec();
    (der, key)
}

fn ia5(text: &str) -> Ia5String {
    Ia5String::try_from(text).unwrap()
}

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn identity(change: impl FnOnce(&mut CertificateParams)) -> Identity {
    Identity::of(&certificate(change).0).unwrap()
}

#[test]
fn each_kind_of_name_is_read() {
    let (der, key) = certificate(|params| {
        params
            .distinguished_name
            .push(DnType::CommonName, "Pumpe 7 ü");
        params
            .distinguished_name
            .push(DnType::OrganizationName, "factory");
        params.subject_alt_names = vec![
            SanType::DnsName(ia5("P7.Example.com")),
            SanType::Rfc822Name(ia5("P7@Example.COM")),
            SanType::URI(ia5("spiffe://f.example/P7")),
            SanType::IpAddress("2001:db8:0:0::7".parse().unwrap()),
        ];
    });
    let identity = Identity::of(&der).unwrap();
    for (field, expected) in [
        (Field::CommonName, "Pumpe 7 ü"),
        (Field::Dns, "p7.example.com"),
        (Field::Email, "P7@example.com"),
        (Field::Ip, "2001:db8::7"),
        (Field::Uri, "spiffe://f.example/P7"),
        (Field::Spki, &sha256(&key.subject_public_key_info())),
    ] {
        let values: Vec<&str> = identity.usable(field).collect();
        assert_eq!(values, [expected], "{field}");
    }
    assert!(!format!("{identity:?}").contains("Pumpe"));
}

#[test]
fn names_that_two_readers_could_read_differently_are_not_given() {
    let cn = |value: DnValue| {
        let identity = identity(|params| {
            params.distinguished_name.push(DnType::CommonName, value);
        });
        template("{cn}").name(&identity)
    };
    let unusable = Err(Unnamed::Unusable(Field::CommonName));
    assert_eq!(cn(DnValue::Utf8String("admin\0.evil".to_owned())), unusable);
    assert_eq!(cn(DnValue::Utf8String("a\nb".to_owned())), unusable);
    assert_eq!(cn(DnValue::Utf8String(String::new())), unusable);
    let bmp = rcgen::string::BmpString::try_from("Mü").unwrap();
    assert_eq!(cn(DnValue::BmpString(bmp)).unwrap(), "Mü");
}

#[test]
fn several_names_of_a_kind_give_none() {
    let two = |params: &mut CertificateParams| {
        params.subject_alt_names = vec![
            SanType::DnsName(ia5("a.example")),
            SanType::DnsName(ia5("b.example")),
        ];
    };
    let ambiguous = Err(Unnamed::Ambiguous(Field::Dns, 2));
    let identity = identity(two);
    assert_eq!(template("{san.dns}").name(&identity), ambiguous);
    let missing = Err(Unnamed::Missing(Field::CommonName));
    assert_eq!(template("{cn}").name(&identity), missing);
}
