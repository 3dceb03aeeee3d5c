//! Converts keys to encodings that rcgen does not support, with the `openssl` program. Keys are passed through pipes
//! only.

use std::process::Command;
use std::time::Duration;

use crate::process::run;

/// Converts to PKCS#1 or SEC1, which OpenSSL calls traditional.
pub(super) fn traditional(key_pem: &str) -> String {
    openssl(&["pkey", "-traditional"], key_pem)
}

pub(super) fn encrypted(key_pem: &str, passphrase: &str) -> String {
    let passphrase = format!("pass:{passphrase}");
    openssl(
        &[
            "pkcs8",
            "-topk8",
            "-v2",
            "aes-256-cbc",
            "-passout",
            &passphrase,
        ],
        key_pem,
    )
}

#[cfg(test)]
pub(super) fn public_key(key_pem: &str) -> String {
    openssl(&["pkey", "-pubout"], key_pem)
}

fn openssl(args: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(args);
    run(command, input.as_bytes(), Duration::from_secs(20))
        .expect_success()
        .stdout
}
