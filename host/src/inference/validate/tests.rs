use super::*;
use crate::inference::testing::model;

fn refusal(file: &[u8]) -> String {
    validate(file, &ModelConfig::default()).expect_err("it is to be refused")
}

#[test]
fn models_that_do_no_harm_pass() {
    for name in [
        "mlp", "wide", "add", "state", "mean", "time", "tokens", "types", "halves", "doubles",
        "divide", "lookup", "branch", "outer",
    ] {
        let passed = validate(&model(name), &ModelConfig::default());
        assert!(passed.is_ok(), "{name}: {passed:?}");
    }
    let state = validate(&model("state"), &ModelConfig::default()).unwrap();
    let shapes: Vec<_> = state.inputs.iter().map(|input| &input.shape[..]).collect();
    assert_eq!(
        shapes,
        [&[None, Some(4)][..], &[Some(2), None, Some(3)], &[]]
    );
}

#[test]
fn what_a_stranger_may_try_is_refused_with_its_reason() {
    for (name, says) in [
        ("external", "in another file"),
        ("custom", "operators of `com.example`"),
        ("local", "functions of its own"),
        ("loop", "allow_loops"),
        ("big", "as large as its input says"),
        ("nested", "more than 8 deep"),
    ] {
        let refused = refusal(&model(name));
        assert!(refused.contains(says), "{name}: {refused}");
    }
    let trusted = ModelConfig {
        allow_loops: true,
        ..ModelConfig::default()
    };
    for name in ["loop", "big"] {
        assert!(validate(&model(name), &trusted).is_ok(), "{name}");
    }
    assert!(validate(&model("external"), &trusted).is_err());
}

#[test]
fn what_is_no_model_is_called_by_its_name() {
    for (file, says) in [
        (&b""[..], "empty"),
        (b"\0asm\x0d\0\x01\0", "WebAssembly"),
        (b"PK\x03\x04...", "zip"),
        (b"<!doctype html>", "text"),
        (b"{\"error\": 404}", "text"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"hello, I am no model", "damaged"),
    ] {
        let refused = refusal(file);
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn a_model_that_is_cut_off_anywhere_is_refused() {
    let whole = model("tokens");
    for length in 0..whole.len() {
        let _ = refusal(&whole[..length]);
    }
}

#[test]
fn a_tensor_holds_what_it_says() {
    let mut file = model("tokens").to_vec();
    // The dimensions of `table`, 100 and 8.
    let at = file
        .windows(4)
        .position(|four| four == [0x08, 100, 0x08, 8])
        .unwrap();
    file[at + 1] = 101;
    let refused = refusal(&file);
    assert!(
        refused.contains("`table`") && refused.contains("[101, 8]"),
        "{refused}"
    );
}

#[test]
fn memory_is_bounded_by_what_is_read() {
    // Nodes of two bytes each, in a graph as large as they are many.
    let nodes = [0x0a, 0x00].repeat(2 << 20);
    let mut file = vec![0x08, 8, 0x42, 2, 0x10, 17, 0x3a];
    let mut length = nodes.len();
    while length >= 0x80 {
        file.push(length as u8 | 0x80);
        length >>= 7;
    }
    file.push(length as u8);
    file.extend(nodes);
    let refused = refusal(&file);
    assert!(refused.contains("more than 1048576 nodes"), "{refused}");
}
