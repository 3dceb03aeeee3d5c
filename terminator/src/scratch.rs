//! The buffers that a thread owns and lends to whichever of its connections has work to do, so that an
//! idle connection owns none.
//!
//! They must not be held across an await: the closure makes that impossible.

use std::cell::RefCell;

use crate::tls::inbound::HELD_MAX;

/// The ciphertext read at once, in bytes: three full records and the beginning of a fourth.
pub(crate) const CIPHER_READ: usize = 64 * 1024;

/// What is read at once, and before it what waited for it.
pub(crate) const CIPHER_SIZE: usize = HELD_MAX + CIPHER_READ;

/// The plaintext read from the backend at once, in bytes. It is also what a connection whose client
/// does not read may hold back, two records' overhead added.
pub(crate) const PLAIN_READ: usize = 32 * 1024;

/// One thread's buffers. What they hold is of no meaning to the next user.
pub(crate) struct Scratch {
    /// Always [`CIPHER_SIZE`] bytes long.
    pub(crate) cipher: Vec<u8>,
    /// Always [`PLAIN_READ`] bytes long: read from the backend, to be encrypted.
    pub(crate) read: Vec<u8>,
    /// Decrypted, to be written to the backend; never more than was read of ciphertext.
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
