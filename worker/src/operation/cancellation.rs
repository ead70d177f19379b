//! Whether the result of an operation is still wanted.

use std::rc::Rc;

use tokio::sync::watch;

/// Whether a result is still wanted. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Cancellation(Rc<watch::Sender<bool>>);

impl Default for Cancellation {
    fn default() -> Self {
        Self(Rc::new(watch::Sender::new(false)))
    }
}

impl Cancellation {
    /// Whether both are for the same operation.
    pub(super) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Asks the operation to end.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Whether that was asked for.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is.
    pub async fn requested(&self) {
        // The sender lives as long as `self` does.
        let _ = self.0.subscribe().wait_for(|requested| *requested).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cancellation_is_heard_by_all_its_clones() {
        let cancellation = Cancellation::default();
        let clone = cancellation.clone();
        assert!(!clone.is_requested());
        tokio::join!(clone.requested(), async { cancellation.request() });
        assert!(clone.is_requested());
    }
}
