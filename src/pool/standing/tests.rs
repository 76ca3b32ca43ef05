//! References against the giving away of an id, by hand and under loom.

#[cfg(not(loom))]
#[test]
fn references_are_counted() {
    let references = super::References::none();
    assert!(references.is_none());
    references.add();
    references.add();
    references.remove();
    assert!(!references.is_none());
    references.remove();
    assert!(references.is_none());
}

#[cfg(loom)]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::super::{References, Standing};
    use crate::span::Tag;

    const TENANT: Tag = Tag::new(3, 1);
    const NEXT: Tag = Tag::new(3, 2);

    /// **Referred**: one thread makes a handle, the other retires the tenant and gives its id away if it may.
    #[test]
    fn loom_a_pool_that_a_handle_refers_to_does_not_change_hands() {
        loom::model(|| {
            let pool = Arc::new((Standing::new(TENANT), References::none()));
            let maker = {
                let pool = pool.clone();
                thread::spawn(move || {
                    let (standing, references) = &*pool;
                    references.add();
                    if standing.is_live(TENANT) {
                        // A handle exists.
                        assert_eq!(standing.tag(), TENANT, "it was given away under a handle");
                    }
                    references.remove();
                })
            };
            let (standing, references) = &*pool;
            assert!(standing.retire());
            if references.is_none() {
                standing.set_tag(NEXT);
            }
            maker.join().unwrap();
        });
    }
}
