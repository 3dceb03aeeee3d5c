//! Buffers that a thread lends to the connection that has work to do, so that idle connections own none.
//!
//! They must not be held across an await; the closure ensures that.

use std::cell::RefCell;

/// Maximum ciphertext held during the handshake, in bytes: the largest handshake message that rustls accepts,
/// with its record headers. rustls rejects larger ones with an alert.
pub(crate) const HELD_MAX: usize = 66 * 1024;

/// Maximum ciphertext per read, in bytes: three full records and part of a fourth.
pub(crate) const CIPHER_READ: usize = 64 * 1024;

/// Size of the ciphertext buffer: one read after the held part of a record or message.
pub(crate) const CIPHER_SIZE: usize = HELD_MAX + CIPHER_READ;

/// Maximum plaintext per read from the backend, in bytes. With the overhead of two records, it is also the
/// maximum that a connection queues for a client that does not read.
pub(crate) const PLAIN_READ: usize = 32 * 1024;

/// Buffers of one thread. Their content is undefined when they are lent.
pub(crate) struct Scratch {
    /// Always [`CIPHER_SIZE`] bytes long.
    pub(crate) cipher: Vec<u8>,
    /// Always [`PLAIN_READ`] bytes long: data from the backend, to be encrypted.
    pub(crate) read: Vec<u8>,
    /// Decrypted data for the backend; never longer than the ciphertext read.
    pub(crate) plain: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        cipher: vec![0; CIPHER_SIZE],
        read: vec![0; PLAIN_READ],
        plain: Vec::with_capacity(CIPHER_SIZE),
    });
}

/// Lends this thread's buffers. Calls must not nest.
pub(crate) fn with<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(work)
}
