//! `export!`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{Error, Path, Result, Token};

pub(crate) fn expand(names: TokenStream) -> Result<TokenStream> {
    let paths = Punctuated::<Path, Token![,]>::parse_terminated.parse2(names)?;
    if paths.is_empty() {
        return Err(Error::new(
            proc_macro2::Span::call_site(),
            "name at least one #[skep_sdk::listener] function: export!(multiply)",
        ));
    }
    refuse_duplicates(&paths)?;

    let entries = paths.iter();
    Ok(quote! {
        const _: () = {
            use ::skep_sdk::__private::{self, bindings};

            static LISTENERS: &[__private::Entry] = &[#(<#entries as __private::Listener>::ENTRY),*];

            struct Component;

            impl bindings::exports::skep::jobs::handler::Guest for Component {
                fn functions() -> ::std::vec::Vec<bindings::skep::jobs::types::FunctionInfo> {
                    __private::functions(LISTENERS)
                }

                fn handle(
                    job: bindings::skep::jobs::types::Job,
                ) -> ::std::result::Result<
                    bindings::skep::jobs::types::Output,
                    bindings::skep::jobs::types::Failure,
                > {
                    __private::handle(LISTENERS, job)
                }
            }

            bindings::export_component!(Component with_types_in ::skep_sdk::__private::bindings);
        };
    })
}

/// A job names a function by its last segment alone.
fn refuse_duplicates(paths: &Punctuated<Path, Token![,]>) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for segment in paths.iter().filter_map(|path| path.segments.last()) {
        let name = segment.ident.unraw().to_string();
        if !seen.insert(name.clone()) {
            return Err(Error::new_spanned(
                segment,
                format!("this component already has a function `{name}`"),
            ));
        }
    }
    Ok(())
}
