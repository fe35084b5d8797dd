//! What wit-bindgen makes of `wit/`. Private: the crate re-exports what a
//! handler needs, with its documentation, and wraps the rest.

wit_bindgen::generate!({
    path: "wit",
    world: "listener",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "skep_sdk::__private::bindings",
    additional_derives: [PartialEq],
});
