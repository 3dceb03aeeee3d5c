//! The draw of the connection whose ClientHello this thread is processing. rustls calls the resolver of certificates in the midst of
//! that, and hands it nothing but the hello.
//!
//! It must not keep a draw longer than its ClientHello is processed.

use std::cell::RefCell;

use crate::trial::{Draw, Fit, Term};

thread_local! {
    static DRAW: RefCell<Option<Box<Draw>>> = const { RefCell::new(None) };
}

/// Lends a connection's draw, or none, to the resolver meanwhile.
pub(super) fn lend<T>(draw: &mut Option<Box<Draw>>, meanwhile: impl FnOnce() -> T) -> T {
    // It replaces what a panic may have left.
    DRAW.set(draw.take());
    let done = meanwhile();
    *draw = DRAW.take();
    done
}

/// Reports whether the client gets the candidate of a trial, which is valid in a time; `fit` says whether it can, and `None` if the trial
/// is not about it.
pub(super) fn gets_candidate(id: &str, term: &Term, fit: impl FnOnce() -> Option<Fit>) -> bool {
    DRAW.with_borrow_mut(|draw| {
        let Some(draw) = draw else {
            return false;
        };
        fit().is_some_and(|fit| draw.choose(id, fit, term))
    })
}

/// Reports whether the client is remembered because it has refused a candidate. The certificate is chosen before a session is opened.
pub(super) fn is_avoided() -> bool {
    DRAW.with_borrow(|draw| draw.as_ref().is_some_and(|draw| draw.is_avoided()))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::{gets_candidate, lend};
    use crate::trial::{Draw, Fit};

    fn gets() -> bool {
        gets_candidate("a", &(0..=0), || Some(Fit::Fits))
    }

    #[test]
    fn a_draw_is_there_while_it_is_lent() {
        let mut draw = Some(Box::new(Draw::of_probe()));
        assert!(!gets_candidate("a", &(0..=0), || panic!(
            "it is not needed"
        )));
        assert!(lend(&mut draw, gets));
        assert!(!lend(&mut draw, || gets_candidate("a", &(0..=0), || None)));
        assert!(draw.is_some() && !gets());
    }

    #[test]
    fn a_panic_leaves_it_to_no_other_connection() {
        let mut draw = Some(Box::new(Draw::of_probe()));
        let panicked = catch_unwind(AssertUnwindSafe(|| lend(&mut draw, || panic!("a fault"))));
        assert!(panicked.is_err());
        assert!(!lend(&mut None, gets));
    }
}
