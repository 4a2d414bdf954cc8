//! Two questions that the core answers for its tests, and that cost nothing outside them.
//!
//! - `sometimes!(SomeMark)` notes that an interesting path was taken. A run which never took it has tested nothing
//!   there. Without `test` or the feature `testing` no code is left.
//! - `planted!(SomeBug)` is `false`. Under `--cfg probity_planted` it is true while that mistake is switched on, so
//!   that the simulator can show that it would have found it.

#[cfg(any(test, feature = "testing"))]
macro_rules! sometimes {
    // The path has a name for each commit rule that can take it.
    (in $rule:expr, $($variant:ident => $mark:ident),+) => {{
        $(if $rule == $crate::thresholds::Rule::$variant {
            sometimes!($mark);
        })+
    }};
    // The value says which mark it is.
    (of $value:expr) => {
        $crate::testing::marks::hit($value.mark())
    };
    ($mark:ident if $condition:expr) => {
        if $condition {
            $crate::testing::marks::hit($crate::testing::marks::Mark::$mark);
        }
    };
    ($mark:ident) => {
        $crate::testing::marks::hit($crate::testing::marks::Mark::$mark)
    };
}

#[cfg(not(any(test, feature = "testing")))]
macro_rules! sometimes {
    ($($anything:tt)*) => {{}};
}

#[cfg(probity_planted)]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_active($crate::planted::Bug::$bug)
    };
}

#[cfg(not(probity_planted))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}
