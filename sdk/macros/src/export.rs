//! `export!`.

use proc_macro2::TokenStream;
use quote::quote;
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

    let entries: Vec<_> = paths.iter().collect();
    Ok(quote! {
        const _: () = {
            use ::skep_sdk::__private::{self, bindings};

            static LISTENERS: &[__private::Entry] = &[#(<#entries as __private::Listener>::ENTRY),*];
            const _: () = __private::distinct(&[#(<#entries as __private::Listener>::NAME),*]);

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
