//! What the picture promises.

use std::fs;

use tenancy::Tenant;

use super::picture::Picture;

#[test]
fn a_tenant_that_drains_and_its_successor_of_the_same_name_are_two_lines() {
    let build = || Tenant::builder("twin").build().expect("there is a place");
    let mut picture = Picture::new();
    let first = build();
    let block = first.in_scope(|| vec![1u8; 8 << 20]);
    first.retire().expect("it was alive");
    let second = build();
    picture.sample();

    let path = std::env::temp_dir().join(format!("two_tenants-{}.svg", std::process::id()));
    let name = path.to_str().expect("text");
    picture.write(name).expect("it is drawn");
    let svg = fs::read_to_string(&path).expect("it was written");
    fs::remove_file(&path).expect("it was written");
    let labels = svg.lines().filter(|line| line.trim() == "twin").count();
    assert_eq!(labels, 2, "{svg}");

    drop(block);
    second.retire().expect("it was alive");
}
