//! Arguments of RPC as what methods read: JavaScript values, as far as JSON has
//! words for them.

use js_sys::{Array, Map, Object, Reflect, Set};
use sandbox_shared::request::Input;
use wasm_bindgen::{JsCast, JsValue};

/// How deep objects may stand in objects: deeper than any method takes them, and
/// not for ever, because those of JavaScript may hold themselves.
const MAX_DEPTH: u32 = 4;

/// The fields of an object, which may be left out. A field that is `undefined` is
/// one that is not given.
pub(super) fn fields(object: &JsValue) -> Input {
    if is_absent(object) {
        return Input::EMPTY;
    }
    input(object, MAX_DEPTH)
}

/// The same with one argument more as the field `name`, if it is given.
pub(super) fn with(fields: Input, name: &str, argument: &JsValue) -> Input {
    if is_absent(argument) {
        return fields;
    }
    fields.with(name, input(argument, MAX_DEPTH))
}

/// The id of a handle, or what stands for one.
pub(super) fn id_of(handle: &JsValue) -> JsValue {
    if !handle.is_object() {
        return handle.clone();
    }
    Reflect::get(handle, &"id".into()).unwrap_or(JsValue::UNDEFINED)
}

fn is_absent(value: &JsValue) -> bool {
    value.is_undefined() || value.is_null()
}

fn input(value: &JsValue, depth: u32) -> Input {
    if is_absent(value) {
        return Input::Null;
    }
    if let Some(value) = value.as_bool() {
        return Input::Bool(value);
    }
    if let Some(number) = value.as_f64() {
        return number.into();
    }
    if let Some(text) = value.as_string() {
        return Input::Text(text);
    }
    if value.is_bigint() {
        let number = value.clone().try_into().map(|number: i64| number.into());
        return number.map_or_else(|_| other(), Input::Number);
    }
    let Some(depth) = depth.checked_sub(1) else {
        return other();
    };
    let elements = |list: &Array| Input::List(list.iter().map(|e| input(&e, depth)).collect());
    if let Some(list) = value.dyn_ref::<Array>() {
        return elements(list);
    }
    if let Some(set) = value.dyn_ref::<Set>() {
        return elements(&Array::from(set));
    }
    let object = match value.dyn_ref::<Map>() {
        Some(map) => Object::from_entries(map).ok(),
        None => is_plain(value).then(|| value.clone().unchecked_into()),
    };
    let Some(object) = object else { return other() };
    let given = Object::entries(&object).into_iter().filter_map(|entry| {
        let entry: Array = entry.unchecked_into();
        let (name, value) = (entry.get(0).as_string()?, entry.get(1));
        (!value.is_undefined()).then(|| (name, input(&value, depth)))
    });
    Input::Fields(given.collect())
}

/// Whether this is an object that is only a set of fields: neither a function nor
/// of any class.
fn is_plain(value: &JsValue) -> bool {
    if !value.is_object() {
        return false;
    }
    let prototype = Object::get_prototype_of(value);
    prototype.is_null() || Object::get_prototype_of(&prototype).is_null()
}

fn other() -> Input {
    Input::Other("a value that JSON has no word for".to_owned())
}
