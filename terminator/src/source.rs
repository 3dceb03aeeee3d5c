//! The configuration file: read within bounds, and recognized by a keyed digest.
//!
//! It must not block: only regular files are read, because opening or reading a named pipe may take forever.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use mqtt_tls_config::FILE_SIZE_MAX;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use mqtt_tls_judge::text;

/// Errors in reading the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is missing, not readable, or not a regular file.
    #[error("cannot read {path}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The system has no random numbers.
    #[error("failed to get random numbers from the system")]
    Random,
    /// The file is larger than [`FILE_SIZE_MAX`].
    #[error("{path} is larger than {FILE_SIZE_MAX} bytes, so it is not a configuration")]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
    },
}

impl Error {
    /// Reports whether there is no file.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The file, and the key of its digests.
pub(crate) struct Source {
    path: PathBuf,
    key: hmac::Key,
}

/// The file's text, which holds private keys and is wiped when dropped, and its digest.
pub(crate) struct Text {
    pub(crate) text: Zeroizing<String>,
    pub(crate) digest: Digest,
}

/// What is kept of a text to recognize it by. It is keyed with a random key that never leaves this process, so that
/// it says nothing about the private keys in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Source {
    /// Names the file; nothing is read yet.
    pub(crate) fn new(path: &Path) -> Result<Self, Error> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Ok(Self {
            path: path.to_owned(),
            key: key.map_err(|_| Error::Random)?,
        })
    }

    /// Names another file, whose texts have comparable digests.
    pub(crate) fn beside(&self, path: &Path) -> Self {
        let (path, key) = (path.to_owned(), self.key.clone());
        Self { path, key }
    }

    /// Reads the file.
    pub(crate) fn read(&self) -> Result<Text, Error> {
        let text = read(&self.path)?;
        let tag = hmac::sign(&self.key, text.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        Ok(Text {
            text,
            digest: Digest(digest),
        })
    }
}

/// Reads a file's text within [`FILE_SIZE_MAX`].
fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = bytes(path).map_err(failed)?;
    if bytes.len() as u64 > FILE_SIZE_MAX {
        return Err(Error::TooLarge {
            path: path.to_owned(),
        });
    }
    text::from_bytes(bytes)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Reads at most one byte more than the limit.
fn bytes(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = open_regular(path)?;
    // Allocate the full size at once: a buffer that grows leaves copies behind.
    let size = file.metadata()?.len().min(FILE_SIZE_MAX);
    let capacity = usize::try_from(size).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(FILE_SIZE_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a regular file, or the target of a symbolic link, for reading, without blocking.
///
/// # Errors
///
/// Returns the system's error, or [`io::ErrorKind::InvalidInput`] with the kind of what is not a regular file
/// (a named pipe, folder, socket or device).
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Check before opening, which may affect a device, and after it, since the file may have been replaced.
    must_be_regular(&std::fs::metadata(path)?)?;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)?;
    must_be_regular(&file.metadata()?)?;
    Ok(file)
}

fn must_be_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = kind(metadata.file_type());
    let message = format!("it is {what}; use a regular file");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use mqtt_tls_config::FILE_SIZE_MAX;

    use super::{Error, Source, open_regular, read};

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let socket = folder.path().join("socket");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        for (path, what) in [
            (pipe.as_path(), "it is a named pipe"),
            (&socket, "it is a socket"),
            (folder.path(), "it is a folder"),
            (Path::new("/dev/zero"), "it is a device"),
        ] {
            let error = open_regular(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(what), "{error}");
        }
    }

    #[test]
    fn a_file_is_read_within_bounds_and_as_utf8() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all("port: 8883 # ä\n".as_bytes()).unwrap();
        assert_eq!(*read(file.path()).unwrap(), "port: 8883 # ä\n");
        file.write_all(b"\xff").unwrap();
        let error = read(file.path()).unwrap_err();
        assert!(matches!(error, Error::Read { .. }), "{error}");
        file.as_file().set_len(FILE_SIZE_MAX + 1).unwrap();
        let error = read(file.path()).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }

    #[test]
    fn the_same_text_has_the_same_digest_in_one_process_only() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"port: 8883\n").unwrap();
        let source = Source::new(file.path()).unwrap();
        let before = source.read().unwrap().digest;
        assert_eq!(source.read().unwrap().digest, before);
        let other = Source::new(file.path()).unwrap();
        assert_ne!(other.read().unwrap().digest, before);
        file.write_all(b"pem: x\n").unwrap();
        assert_ne!(source.read().unwrap().digest, before);
    }
}
