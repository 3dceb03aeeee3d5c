//! The size of a server's handshake messages, which small devices must be able to hold: they read the messages from the
//! ServerHello or the EncryptedExtensions on as one record, and cannot put together what is split.
//!
//! It must not limit anything: a chain of any size can be served.

use super::authorities::Authorities;
use super::certificate::Certificate;
use super::finding::{Finding, Reason};

/// Maximum size in bytes of everything but certificates, signature and certificate request: in TLS 1.2 ServerHello,
/// ServerKeyExchange with a point on P-384, and ServerHelloDone; in TLS 1.3 less.
const OTHERS_MAX: usize = 256;

/// Size of an entry of a certificate list besides the certificate, in bytes (RFC 8446, section 4.4.2).
const ENTRY: usize = 5;

/// Maximum size of a certificate request without names, in bytes.
const REQUEST_MAX: usize = 64;

/// Size of a signature by an RSA key of 8,192 bits, the largest, in bytes.
const SIGNATURE_MAX: usize = 1024;

/// Size of a signature by an Ed25519 key, in bytes.
const ED25519: usize = 64;

/// Maximum size in bytes of the authorities' names that clients are sent. With their lengths they must fit into
/// 65,535 (RFC 8446, section 4.2.4); a client that gets no names sends the certificate that it has.
const NAMES_MAX: usize = 32 * 1024;

impl Authorities {
    /// Returns the size of the authorities' names that clients are sent, in bytes; `None` if they are too large to be sent.
    pub fn names_size(&self) -> Option<usize> {
        let roots = self.roots().roots.iter();
        let size = roots.map(|root| root.subject.len() + 2).sum();
        (size <= NAMES_MAX).then_some(size)
    }
}

impl Certificate {
    /// Returns a finding if the handshake messages with this certificate, and the request for one of these authorities, do not
    /// fit into a buffer of a device, in bytes.
    pub fn outgrows(&self, buffer: u32, authorities: Option<&Authorities>) -> Option<Finding> {
        let request =
            authorities.map_or(0, |one| REQUEST_MAX + one.names_size().unwrap_or_default());
        let chain = self.certified().cert.iter();
        let sizes: Vec<usize> = chain.map(|der| der.len()).collect();
        let entries: usize = sizes.iter().map(|size| size + ENTRY).sum();
        let size = OTHERS_MAX + request + entries + self.signature_max();
        if u32::try_from(size).is_ok_and(|size| size <= buffer) {
            return None;
        }
        let (sizes, name) = (shown(&sizes), self.facts().name());
        let request = match request {
            0 => String::new(),
            size => format!(", and the request for a client certificate {size}"),
        };
        Some(Finding::warning(
            Reason::LargeHandshake,
            format!(
                "the handshake messages with the certificate of {name} have up to {size} bytes, which devices with a buffer of \
                 {buffer} cannot read: the chain has {sizes} bytes, leaf first{request}; use ECDSA keys and a shorter chain, or \
                 raise tls.recordSizeMax if the devices' buffers are larger"
            ),
        ))
    }

    /// Returns the maximum size of a signature by its key, in bytes: no kind of key has larger signatures than public keys,
    /// except for Ed25519.
    fn signature_max(&self) -> usize {
        let key = self.certified().key.public_key();
        key.map_or(SIGNATURE_MAX, |key| key.len()).max(ED25519)
    }
}

fn shown(sizes: &[usize]) -> String {
    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    sizes.join(" + ")
}
