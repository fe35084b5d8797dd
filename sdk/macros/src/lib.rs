//! The macros of `skep-sdk`: [`listener`] makes a function a listener function,
//! [`export`] makes a component of such functions. Use them through that crate.
#![deny(missing_docs)]

mod export;
mod listener;

use proc_macro::TokenStream;

/// Makes `fn name(msg: M, ctx: &Context) -> Result<O, E>` a listener function.
///
/// `M` is any `serde::Deserialize` type, `Vec<u8>` or `Payload`; `O` any
/// `IntoOutput`; `E` anything that turns into a `Failure`. The function's name is
/// the one that jobs name, unless another is given:
/// `#[skep_sdk::listener(name = "count-words")]`. The first paragraph of its
/// documentation is the summary that people read. If `M` derives `schemars::JsonSchema`, the host
/// refuses messages that do not fit.
///
/// The function itself stays as it is, and can be called from tests.
#[proc_macro_attribute]
pub fn listener(arguments: TokenStream, item: TokenStream) -> TokenStream {
    listener::expand(arguments.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes a component of listener functions: `export!(multiply, images::resize);`
///
/// Once in a crate. A name that stands twice is an error.
#[proc_macro]
pub fn export(names: TokenStream) -> TokenStream {
    export::expand(names.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
