//! The table of methods.

use std::collections::BTreeSet;

use sandbox_shared::methods;

#[test]
fn a_method_has_one_name_and_one_way_over_rpc() {
    let names: Vec<_> = methods::names().collect();
    let different: BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), different.len(), "{names:?}");
}
