//! Some cycles of what `cargo xtask soak` does a thousand times.

use std::{num::NonZeroU32, sync::Arc};

use sandbox_tests::{
    soak::{self, Options},
    stage::Stage,
};

crate::tests![some_cycles_leave_nothing];

async fn some_cycles_leave_nothing(stage: Arc<Stage>) {
    let options = Options {
        cycles: NonZeroU32::new(20).unwrap(),
        seconds: None,
        // The same choices in every run of the tests.
        seed: Some(6),
        strategy: None,
        sandboxes: NonZeroU32::new(2).unwrap(),
        calm: false,
    };
    let outcome = soak::run(&stage, &options).await.unwrap();
    assert_eq!(outcome.cycles, 20);
    assert!(outcome.disturbances.len() > 1, "{}", outcome.report());
    // All else belongs to other tests, too.
    let growth = outcome.growth_in_sandboxes();
    assert!(growth.is_empty(), "{growth:?}\n{}", outcome.report());
}
