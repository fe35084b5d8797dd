//! Calls of models, as handlers write them.

use skep_sdk::{
    Context, DataType, Error, Failure, NamedTensor, Payload, Tensor, TestHost, ToTensor,
};

fn tensor(value: &(impl ToTensor + ?Sized)) -> (DataType, Vec<u64>, usize) {
    let tensor = value.to_tensor().expect("a tensor");
    (tensor.dtype, tensor.shape, tensor.data.len())
}

#[test]
fn numbers_and_lists_of_any_depth_are_tensors() {
    assert_eq!(tensor(&1.5_f32), (DataType::F32, vec![], 4));
    assert_eq!(tensor(&[1_i64, 2]), (DataType::I64, vec![2], 16));
    assert_eq!(
        tensor(&vec![[1.0_f32; 4]; 3]),
        (DataType::F32, vec![3, 4], 48)
    );
    let rows: &[Vec<u8>] = &[vec![1, 2], vec![3, 4]];
    assert_eq!(tensor(rows), (DataType::U8, vec![2, 2], 4));
    let slices: [&[bool]; 1] = [&[true, false]];
    assert_eq!(tensor(&slices), (DataType::Bool, vec![1, 2], 2));
    let deep = [[[1.0_f64, 2.0]]];
    assert_eq!(tensor(&deep), (DataType::F64, vec![1, 1, 2], 16));
    assert_eq!(deep.to_tensor().unwrap().elements(), Some(vec![1.0, 2.0]));
    assert_eq!(deep.to_tensor().unwrap().to_f32(), None);
}

#[test]
fn lists_that_differ_in_length_are_no_tensor() {
    for ragged in [vec![vec![1.0_f32, 2.0], vec![3.0]], vec![vec![1.0], vec![]]] {
        let error = ragged.to_tensor().unwrap_err();
        assert!(matches!(&error, Error::InvalidArgument(text) if text.contains("differ")));
    }
}

/// Runs a handler in which the model `swap` gives its two inputs back, the other way round.
fn swapped<T>(listener: impl FnOnce(TestHost) -> T) -> T {
    listener(TestHost::new().model("swap", |inputs| {
        let mut outputs = inputs.to_vec();
        outputs.reverse();
        outputs
    }))
}

#[test]
fn outputs_are_found_by_name_and_know_their_shape() {
    /// Calls the model.
    #[skep_sdk::listener]
    fn call(_msg: Payload, ctx: &Context) -> Result<(), Failure> {
        assert_eq!(ctx.models()?, ["swap"]);
        let out = ctx.infer("swap");
        let out = out.input("a", &[[1.0_f32, 2.0], [3.0, 4.0]])?;
        let out = out.input("b", &[5_i32, 6, 7, 8])?.shape(&[2, 2]).run()?;
        let a = out.get::<f32>("a")?;
        assert_eq!(
            (a.shape(), a.to_vec()),
            (&[2, 2][..], vec![1.0, 2.0, 3.0, 4.0])
        );
        assert_eq!(a.rows().collect::<Vec<_>>(), [[1.0, 2.0], [3.0, 4.0]]);
        let b = out.first::<i32>()?;
        assert_eq!((b.shape(), &b[..]), (&[2, 2][..], &[5, 6, 7, 8][..]));
        let wrong = out.get::<f32>("b").unwrap_err().to_string();
        assert!(wrong.contains("i32, not f32"), "{wrong}");
        let missing = out.get::<f32>("c").unwrap_err().to_string();
        assert!(missing.contains("it has: b, a"), "{missing}");
        let names = out.into_tensors().into_iter().map(|output| output.name);
        assert_eq!(names.collect::<Vec<_>>(), ["b", "a"]);
        let unknown = ctx.infer("sawp").run();
        assert!(matches!(unknown, Err(Error::NotFound(_))), "{unknown:?}");
        assert!(matches!(ctx.describe("sawp"), Err(Error::NotFound(_))));
        assert_eq!(ctx.describe("swap")?.name, "swap");
        let ragged = ctx.infer("swap").input("x", &[vec![1_u8], vec![]]);
        let ragged = ragged.unwrap_err().to_string();
        assert!(ragged.contains("\"x\": its lists differ"), "{ragged}");
        Ok(())
    }
    swapped(|host| assert_eq!(host.with::<call>().run("call", &()), Ok(())));
}

#[test]
fn an_empty_list_of_rows_has_no_rows() {
    let named = NamedTensor::new("x", Tensor::of::<f32>(&[0, 4], &[]));
    assert_eq!(named.value.to_f32(), Some(vec![]));
    assert_eq!(tensor(&Vec::<[f32; 4]>::new()), (DataType::F32, vec![0], 0));
}

#[cfg(feature = "ndarray")]
#[test]
fn arrays_of_ndarray_go_in_and_come_out() {
    use ndarray::{Array2, arr2};

    /// Calls the model.
    #[skep_sdk::listener]
    fn call(_msg: Payload, ctx: &Context) -> Result<(), Failure> {
        let array: Array2<f32> = arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        let turned = array.t();
        let out = ctx.infer("swap").input("x", &turned)?.run()?;
        let x = out.first::<f32>()?;
        assert_eq!(x.shape(), [3, 2]);
        assert_eq!(x.into_ndarray(), turned.into_owned().into_dyn());
        Ok(())
    }
    swapped(|host| assert_eq!(host.with::<call>().run("call", &()), Ok(())));
}
