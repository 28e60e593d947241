//! Descriptors that go.

use apm_common::event::{CLOSE_LAST, CLOSE_READ, CLOSE_WRITE};

use super::{seen::Seen::Close, stage::Stage};

#[test]
fn only_the_last_close_ends_a_connection() {
    let Some(mut stage) = Stage::with_pair() else { return };
    stage.act("dup a d");
    stage.acts(&[("close a", 0), ("close d", 0)]);
    assert_eq!(stage.passed(), [Close('a', 0), Close('a', CLOSE_LAST)]);
}

#[test]
fn a_child_that_holds_it_keeps_a_connection() {
    let Some(mut stage) = Stage::with_pair() else { return };
    assert!(stage.act("fork -") > 0);
    stage.told();
    stage.acts(&[("close a", 0)]);
    assert_eq!(stage.passed(), [Close('a', 0)]);
    stage.acts(&[("reap -", 7 << 8), ("close b", 0)]);
    assert_eq!(stage.passed(), [Close('b', CLOSE_LAST)]);
}

#[test]
fn descriptors_replaced_by_dup_are_closed() {
    for order in ["dup2 b a", "dup3 b a"] {
        let Some(mut stage) = Stage::with_pair() else { return };
        assert!(stage.act(order) > 0);
        assert_eq!(stage.passed(), [Close('a', CLOSE_LAST)], "{order}");
        stage.acts(&[("close b", 0), ("close a", 0)]);
        assert_eq!(stage.passed(), [Close('b', 0), Close('b', CLOSE_LAST)]);
    }
}

#[test]
fn a_descriptor_replaced_by_itself_is_not_closed() {
    let Some(mut stage) = Stage::with_pair() else { return };
    assert!(stage.act("dup2 a a") > 0);
    assert_eq!(stage.passed(), []);
}

#[test]
fn a_range_of_descriptors_is_closed_one_by_one() {
    let Some(mut stage) = Stage::with_pair() else { return };
    stage.acts(&[("close_range a b", 0)]);
    assert_eq!(stage.passed(), [Close('a', CLOSE_LAST), Close('b', CLOSE_LAST)]);
}

#[test]
fn directions_shut_down_are_told() {
    let Some(mut stage) = Stage::with_pair() else { return };
    stage.acts(&[("shutdown a 1", 0), ("shutdown a 0", 0), ("shutdown b 2", 0), ("shutdown b 9", -22)]);
    let expected = [Close('a', CLOSE_WRITE), Close('a', CLOSE_READ), Close('b', CLOSE_READ | CLOSE_WRITE)];
    assert_eq!(stage.passed(), expected);
}
