//! Recognizes what a text without PEM blocks is, to give advice: users put many other things where PEM belongs.
//!
//! It must not quote the text: it may be a key in another form.

/// Prefixes of PEM text that was base64-encoded again.
const TWICE: [&str; 2] = ["LS0tLS1CRUdJTi", "LS0tLSBCRUdJTi"];

/// Minimum length of base64 to be taken for a block without markers, in bytes.
const BASE64_MIN: usize = 40;

/// Describes a text without blocks and what to do; `None` if it is not recognized.
pub(super) fn describe(text: &str) -> Option<&'static str> {
    let text = text.trim_matches(|char: char| char.is_whitespace() || char == '\u{feff}');
    if text.is_empty() {
        return None;
    }
    // Ignore quotes around the text.
    let text = text.trim_matches(['"', '\'', '`']);
    KINDS
        .iter()
        .find(|(is_it, _)| is_it(text))
        .map(|(_, described)| *described)
}

type Test = fn(&str) -> bool;

/// The first match applies.
const KINDS: [(Test, &str); 14] = [
    (
        |text| text.contains("-----BEGIN ") && has_escapes(text),
        "this is a quoted string with `\\n` as two characters; use real line breaks",
    ),
    (
        |text| text.contains("-----BEGIN "),
        "a begin marker is not at the start of its line; put each marker on a line of its own",
    ),
    (
        |text| is_damaged_marker(text),
        "its markers are damaged: BEGIN … and END … need five ASCII hyphens before and after them",
    ),
    (
        |text| TWICE.iter().any(|start| text.starts_with(start)),
        "this is PEM that was base64-encoded again; put the PEM text itself here (in a Secret, `data` is \
        encoded once and `stringData` not at all)",
    ),
    (
        |text| text.starts_with("PuTTY-User-Key-File"),
        "this is a PuTTY key; export it in OpenSSL's format; TLS also needs a certificate for it",
    ),
    (
        |text| text.starts_with("ssh-") || text.starts_with("ecdsa-sha2-"),
        "this is an SSH public key; TLS needs a certificate",
    ),
    (
        |text| text.starts_with("Certificate:") || text.starts_with("Private-Key:"),
        "this is a certificate or key in readable form; put the PEM block itself here (omit `-text -noout`)",
    ),
    (
        |text| text.starts_with("http://") || text.starts_with("https://"),
        "this is a URL; put the PEM text itself here",
    ),
    (
        is_placeholder,
        "this is a placeholder that was not replaced; put the PEM text itself here",
    ),
    (
        |text| text.starts_with(['{', '[']),
        "this is JSON, or a list; put the PEM text itself here",
    ),
    (
        |text| text.starts_with('<'),
        "this is HTML or XML, such as an error page; put the PEM text itself here",
    ),
    (is_path, "this is a path; put the PEM text itself here"),
    (
        is_base64,
        "this is base64 without markers; put `-----BEGIN CERTIFICATE-----` (or `PRIVATE KEY`) before it and \
        `-----END CERTIFICATE-----` after it, each on a line of its own",
    ),
    (
        |text| text.contains('\u{FFFD}'),
        "this is not text, or is text in another encoding; put PEM text here",
    ),
];

fn has_escapes(text: &str) -> bool {
    text.contains("-----\\n") || text.contains("-----\\r\\n")
}

/// Reports whether `BEGIN CERTIFICATE` lacks its five hyphens, for example after a word processor changed them.
fn is_damaged_marker(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    ["CERTIFICATE", "PRIVATE KEY", "RSA PRIVATE", "EC PRIVATE"]
        .iter()
        .any(|what| upper.contains(&format!("BEGIN {what}")))
}

fn is_placeholder(text: &str) -> bool {
    let is_short = text.len() <= 512 && text.lines().count() == 1;
    let is_variable = text.strip_prefix('$').is_some_and(|name| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    });
    let is_marked = ["${", "$(", "{{", "<%", "ENC[", "vault:", "ref+", "op://"];
    is_short
        && (is_variable
            || is_marked.iter().any(|mark| text.starts_with(mark))
            || (text.starts_with(['<', '%']) && text.ends_with(['>', '%']) && !text.contains("</")))
}

fn is_path(text: &str) -> bool {
    const ENDS: [&str; 10] = [
        ".pem", ".crt", ".cer", ".key", ".p12", ".pfx", ".der", ".jks", ".p7b", ".bundle",
    ];
    const STARTS: [&str; 6] = ["/", "./", "../", "~/", "\\\\", "file:"];
    let drive = text.as_bytes();
    let has_drive = drive.len() > 2
        && drive[0].is_ascii_alphabetic()
        && drive[1] == b':'
        && matches!(drive[2], b'\\' | b'/');
    let lower = text.to_ascii_lowercase();
    text.len() <= 4096
        && text.lines().count() == 1
        && (has_drive
            || STARTS.iter().any(|start| lower.starts_with(start))
            || ENDS.iter().any(|end| lower.ends_with(end)))
}

fn is_base64(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    text.len() >= BASE64_MIN
        && text
            .bytes()
            .all(|byte| is_digit(byte) || byte.is_ascii_whitespace())
        // Words separated by blanks are not base64.
        && text.lines().all(|line| line.trim().bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn each_kind_is_described() {
        let base64 = "MIIBszCCAVmgAwIBAgIUJg".repeat(4);
        for (text, expected) in [
            (
                "\"-----BEGIN CERTIFICATE-----\\nMII\\n-----END CERTIFICATE-----\\n\"",
                "quoted string",
            ),
            (
                "x -----BEGIN CERTIFICATE-----\nMII",
                "at the start of its line",
            ),
            ("—–BEGIN CERTIFICATE—–\nMII", "markers are damaged"),
            ("BEGIN CERTIFICATE", "markers are damaged"),
            ("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t", "encoded again"),
            ("PuTTY-User-Key-File-3: ssh-rsa", "PuTTY"),
            ("ssh-rsa AAAA me@host", "SSH"),
            (
                "Certificate:\n    Data:\n        Version: 3",
                "in readable form",
            ),
            ("https://ca.example/root.pem", "URL"),
            ("${TLS_CERT}", "placeholder"),
            ("$(TLS_CERT)", "placeholder"),
            ("$TLS_CERT", "placeholder"),
            ("{{ .Values.cert }}", "placeholder"),
            ("<your certificate here>", "placeholder"),
            ("ENC[AES256_GCM,data:abc]", "placeholder"),
            ("{\"cert\": \"MII\"}", "JSON"),
            ("<!DOCTYPE html><html></html>", "HTML"),
            ("/etc/ssl/certs/tls.crt", "path"),
            ("C:\\certs\\edge", "path"),
            ("server.pem", "path"),
            ("'~/edge.key'", "path"),
            (base64.as_str(), "base64 without markers"),
        ] {
            let described = describe(text).unwrap_or_default();
            assert!(described.contains(expected), "{text:?}: {described:?}");
        }
        for text in [
            "",
            " \n\t",
            "nothing",
            "TBD",
            "the key is in the vault, ask the admins for it please",
        ] {
            assert_eq!(describe(text), None, "{text:?}");
        }
    }
}
