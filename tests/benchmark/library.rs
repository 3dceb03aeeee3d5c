//! Detects the TLS library of a running program: its name and version from the files that it has mapped. It
//! must not ask the program, which may report the library that it was built with.

use std::collections::BTreeSet;
use std::fs;

/// Returns the library of a process.
pub(crate) fn of(pid: u32) -> String {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let files: BTreeSet<_> = maps.lines().filter_map(code).collect();
    // A shared library takes precedence over the program.
    let (shared, own): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|file| file.contains("/libcrypto"));
    let mut files = shared.into_iter().chain(own);
    let name = files.find_map(|file| named_in(&fs::read(file).ok()?));
    name.unwrap_or_else(|| "unknown".to_owned())
}

/// Returns the file of an executable mapping (proc_pid_maps(5)).
fn code(line: &str) -> Option<&str> {
    let permissions = line.split(' ').nth(1)?;
    let path = &line[line.find('/')?..];
    permissions.contains('x').then_some(path)
}

/// Returns the first library that a program names. rustls comes first: its provider is derived from BoringSSL
/// and has that name too.
fn named_in(program: &[u8]) -> Option<String> {
    if let Some(rustls) = version_after(program, b"/rustls-") {
        let provider = version_after(program, b"/aws-lc-rs-");
        let provider = provider.map(|version| format!(", aws-lc-rs {version}"));
        return Some(format!("rustls {rustls}{}", provider.unwrap_or_default()));
    }
    if let Some(boring) = find(program, b"BoringSSL") {
        return Some(String::from_utf8_lossy(&program[boring..boring + 9]).into_owned());
    }
    version_after(program, b"OpenSSL ").map(|version| format!("OpenSSL {version}"))
}

/// Returns the first version of three numbers directly after `name`.
fn version_after(program: &[u8], name: &[u8]) -> Option<String> {
    let mut rest = program;
    while let Some(at) = find(rest, name) {
        rest = &rest[at + name.len()..];
        let is_part = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
        let version: Vec<u8> = rest.iter().take_while(is_part).copied().collect();
        let version = String::from_utf8(version).expect("these are digits and dots");
        if version.split('.').filter(|part| !part.is_empty()).count() == 3 {
            return Some(version);
        }
    }
    None
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    aho_corasick::AhoCorasick::new([word])
        .expect("it is one short word")
        .find(text)
        .map(|found| found.start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_recognized_by_their_names() {
        for (text, name) in [
            (
                "x/rustls-0.23.46/src/a.rs /aws-lc-rs-1.19.0/src BoringSSL",
                "rustls 0.23.46, aws-lc-rs 1.19.0",
            ),
            ("OpenSSL 1.1.1 (compatible; BoringSSL)", "BoringSSL"),
            (
                "OpenSSL is a name; OpenSSL 3.0.22 25 Aug 2026",
                "OpenSSL 3.0.22",
            ),
        ] {
            assert_eq!(named_in(text.as_bytes()).as_deref(), Some(name));
        }
        assert_eq!(named_in(b"nothing of the kind"), None);
    }

    #[test]
    fn only_code_is_read() {
        let line = "7f00-7f10 r-xp 00000000 fe:00 42      /usr/lib/lib x.so.3";
        assert_eq!(code(line), Some("/usr/lib/lib x.so.3"));
        assert_eq!(code(&line.replace("r-xp", "r--p")), None);
        assert_eq!(code("7f00-7f10 r-xp 00000000 00:00 0 [vdso]"), None);
    }

    #[test]
    fn this_program_has_rustls() {
        let library = of(std::process::id());
        assert!(library.starts_with("rustls 0."), "{library}");
    }
}
