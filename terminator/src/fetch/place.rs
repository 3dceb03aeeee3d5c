//! Where something is fetched from: the parts of a URL, and which addresses may be asked.
//!
//! Who writes a URL may be another than who owns the node, and metadata services give credentials to anyone who can reach them.
//! So what belongs to the node, and not to the network, must not be asked. Loopback may be: it is the pod's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::Uri;
use hyper::header::HeaderValue;
use mqtt_tls_judge::escape;

/// Addresses of metadata services that are not link-local.
const METADATA: [IpAddr; 5] = [
    // Alibaba Cloud.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Azure.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Oracle Cloud.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // AWS and Google Cloud.
    IpAddr::V6(Ipv6Addr::new(0xFD00, 0xEC2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xFD20, 0xCE, 0, 0, 0, 0, 0, 0x254)),
];

/// A URL of a server by HTTP or HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) is_https: bool,
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and port, as the header has them.
    pub(super) host_header: HeaderValue,
    /// Path and query.
    pub(super) target: Uri,
    shown: String,
}

impl Place {
    /// Takes a URL apart; `None` if it is none of HTTP or HTTPS.
    pub(crate) fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let is_https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16();
        let header = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let target = uri.path_and_query()?.as_str();
        Some(Self {
            is_https,
            host: bare.to_owned(),
            port: port.unwrap_or(if is_https { 443 } else { 80 }),
            host_header: HeaderValue::try_from(header).ok()?,
            target: target.parse().ok()?,
            shown: shown(&uri),
        })
    }

    /// Returns the URL for messages: without its query, which may have a token.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }
}

/// Formats a URL without user name, password and query, escaped and bounded.
pub(super) fn shown(uri: &Uri) -> String {
    let place = match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => {
            let port = authority.port().map(|port| format!(":{port}"));
            format!(
                "{scheme}://{}{}",
                authority.host(),
                port.unwrap_or_default()
            )
        }
        _ => String::new(),
    };
    escape::shown(&format!("{place}{}", uri.path()))
}

/// Reports whether an address must not be asked: it is the node's, or none of a host.
pub(super) fn is_refused(address: IpAddr) -> bool {
    let address = plain(address);
    let is_special = match address {
        IpAddr::V4(address) => {
            address.is_link_local() || address.is_broadcast() || address.octets()[0] == 0
        }
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_unspecified(),
    };
    is_special || address.is_multicast() || METADATA.contains(&address)
}

/// Returns the IPv4 address in an IPv6 address that leads to one (RFC 4291, section 2.5.5; RFC 6052, section 2.1).
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(long) = address.to_canonical() else {
        return address.to_canonical();
    };
    match long.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => embedded(high, low),
        [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => embedded(high, low),
        _ => IpAddr::V6(long),
    }
}

fn embedded(high: u16, low: u16) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::{Place, is_refused};

    #[test]
    fn what_belongs_to_the_node_is_refused() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "febf::1",
            "100.100.100.200",
            "::ffff:168.63.129.16",
            "fd00:ec2::254",
            "fd20:ce::254",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
        ] {
            assert!(is_refused(address.parse().unwrap()), "{address}");
        }
        for address in [
            "192.0.2.1",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "::1",
            "2001:db8::1",
            "fd00::1",
            "fec0::1",
            "64:ff9b::c000:201",
        ] {
            assert!(!is_refused(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_url_is_taken_apart_and_shown_without_its_query() {
        let place = Place::of("HTTPS://Ca.example:8443/a/b?token=secret").unwrap();
        assert!(place.is_https);
        assert_eq!((&*place.host, place.port), ("Ca.example", 8443));
        assert_eq!(place.host_header, "Ca.example:8443");
        assert_eq!(place.target, "/a/b?token=secret");
        assert_eq!(place.shown(), "https://Ca.example:8443/a/b");
        let place = Place::of("http://[2001:db8::1]").unwrap();
        assert_eq!((&*place.host, place.port), ("2001:db8::1", 80));
        assert_eq!(place.host_header, "[2001:db8::1]");
        assert_eq!(place.target, "/");
        assert_eq!(Place::of("ldap://ca.example/"), None);
        assert_eq!(Place::of("/path"), None);
    }
}
