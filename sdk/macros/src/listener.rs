//! `#[listener]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, ItemFn, Lit, Meta, MetaNameValue, Pat, Result,
    ReturnType, Signature, Type, parse_quote, parse2,
};

/// Told with every error about the shape of the function.
const SHAPE: &str =
    "a listener function looks like `fn name(msg: M, ctx: &Context) -> Result<O, Failure>`";

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let given = name_argument(arguments)?;
    let mut function: ItemFn =
        parse2(item).map_err(|error| Error::new(error.span(), format!("{error}; {SHAPE}")))?;
    let message = message_type(&function.sig)?;
    // Many handlers ask nothing of the host; they need not rename `ctx` for it.
    if let Some(context) = context_name(&function.sig) {
        function
            .block
            .stmts
            .insert(0, parse_quote!(let _ = #context;));
    }

    let visibility = &function.vis;
    let ident = &function.sig.ident;
    let name = given.unwrap_or_else(|| ident.unraw().to_string());
    let summary = summary(&function.attrs);
    let result = function.sig.output.span();
    // Written with the span of the user's types, so that errors point there.
    let read = quote_spanned!(message.span()=> __private::message::<#message>(&mut context)?);
    let write = quote_spanned!(result=> __private::output(result));

    Ok(quote! {
        #function

        // Types have a namespace of their own, so this one goes wherever the
        // function goes, `use` included.
        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #visibility struct #ident {}

        const _: () = {
            use ::skep_sdk::__private;

            impl __private::Listener for #ident {
                const NAME: &'static str = #name;
                const SUMMARY: &'static str = #summary;

                fn message_schema() -> ::std::option::Option<::std::string::String> {
                    #[allow(unused_imports)]
                    use __private::{WithSchema as _, WithoutSchema as _};
                    (&__private::SchemaOf::<#message>(::std::marker::PhantomData)).schema()
                }

                fn call(
                    mut context: ::skep_sdk::Context,
                ) -> ::std::result::Result<
                    __private::bindings::skep::jobs::types::Output,
                    ::skep_sdk::Failure,
                > {
                    let message = #read;
                    let result = #ident(message, &context);
                    #write
                }
            }
        };
    })
}

/// The name in `#[listener(name = "count-words")]`, if there is one.
fn name_argument(arguments: TokenStream) -> Result<Option<String>> {
    if arguments.is_empty() {
        return Ok(None);
    }
    let shape = "the only argument is a name: #[skep_sdk::listener(name = \"count-words\")]";
    let argument: MetaNameValue =
        parse2(arguments).map_err(|error| Error::new(error.span(), shape))?;
    let Expr::Lit(ExprLit {
        lit: Lit::Str(name),
        ..
    }) = &argument.value
    else {
        return Err(Error::new_spanned(&argument.value, shape));
    };
    if !argument.path.is_ident("name") {
        return Err(Error::new_spanned(&argument.path, shape));
    }
    let text = name.value();
    let letters = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins_well || text.len() > 64 || !text.chars().all(letters) {
        return Err(Error::new_spanned(
            name,
            "a name is 1 to 64 of `a-z A-Z 0-9 _ - .`, beginning with a letter or digit",
        ));
    }
    Ok(Some(text))
}

/// The type of the message, if the function has the right shape. What the types
/// must be is left to the compiler, which knows more than their names.
fn message_type(signature: &Signature) -> Result<&Type> {
    let wrong = |at: &dyn quote::ToTokens, what: &str| {
        Err(Error::new_spanned(
            at.to_token_stream(),
            format!("{what}; {SHAPE}"),
        ))
    };
    if let Some(asyncness) = &signature.asyncness {
        return wrong(
            asyncness,
            "a listener function is not async: host calls wait",
        );
    }
    if !signature.generics.params.is_empty() {
        return wrong(&signature.generics, "a listener function is not generic");
    }
    if matches!(signature.output, ReturnType::Default) {
        return wrong(&signature.ident, "the return type is missing");
    }
    let inputs: Vec<_> = signature.inputs.iter().collect();
    let [FnArg::Typed(message), FnArg::Typed(context)] = inputs[..] else {
        return wrong(&signature.ident, "expected two arguments");
    };
    if matches!(*message.ty, Type::Reference(_)) {
        return wrong(&message.ty, "the message is handed over, not borrowed");
    }
    if !matches!(*context.ty, Type::Reference(_)) {
        return wrong(&context.ty, "the context is borrowed");
    }
    Ok(&message.ty)
}

/// What the function calls its context, if it gave it a name.
fn context_name(signature: &Signature) -> Option<&syn::Ident> {
    match signature.inputs.last()? {
        FnArg::Typed(context) => match &*context.pat {
            Pat::Ident(name) => Some(&name.ident),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    }
}

/// The first paragraph of the documentation, on one line.
fn summary(attributes: &[Attribute]) -> String {
    let documentation: Vec<String> = attributes.iter().filter_map(documentation).collect();
    documentation
        .iter()
        // Not `lines`, which gives none for the empty text of a bare `///`.
        .flat_map(|block| block.split('\n'))
        .map(str::trim)
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The text of a `///` line or a `/** */` block.
fn documentation(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}
