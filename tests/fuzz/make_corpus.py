#!/usr/bin/env python3
"""Makes corpus/safetensors and corpus/calibration: small files, each wrong in one way; valid_* are right.

The same files come out every time. Needs nothing but the standard library.
"""

import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def file_bytes(header, data=b"", length=None):
    """A safetensors file; `header` is an object or raw bytes, `length` what the file claims of it."""
    if not isinstance(header, bytes):
        header = json.dumps(header, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def raw_entry(shape="[1]", offsets="[0,4]", dtype='"F32"', extra=""):
    text = '{"a":{"dtype":%s,"shape":%s,"data_offsets":%s%s}}' % (dtype, shape, offsets, extra)
    return file_bytes(text.encode(), bytes(4))


def safetensors():
    ok = entry("F32", [1], 0, 4)
    four = bytes(4)
    yield "valid_no_tensors", file_bytes({})
    yield "valid_metadata", file_bytes({"__metadata__": {"format": "pt", "empty": ""}, "a": ok}, four)
    yield "valid_types", file_bytes(
        {
            "f64": entry("F64", [1], 0, 8),
            "f32": entry("F32", [1, 1], 8, 12),
            "bf16": entry("BF16", [2], 12, 16),
            "f16": entry("F16", [2, 1], 16, 20),
            "i64": entry("I64", [], 20, 28),
            "bool": entry("BOOL", [3], 28, 31),
            "f8": entry("F8_E4M3", [1], 31, 32),
        },
        bytes(range(32)),
    )
    yield "valid_unaligned", file_bytes({"a": entry("U8", [1], 0, 1), "b": entry("F64", [1], 1, 9)}, bytes(9))
    yield "valid_empty_tensors", file_bytes(
        {"a": entry("F32", [0, 5], 0, 0), "b": ok, "c": entry("F64", [0], 4, 4), "d": entry("U8", [0], 0, 0)}, four
    )
    yield "empty", b""
    yield "seven_bytes", bytes(7)
    yield "header_beyond_file", file_bytes({"a": ok}, four, length=4096)
    yield "header_length_all_ones", file_bytes({"a": ok}, four, length=2**64 - 1)
    yield "header_length_zero", file_bytes(b"", four)
    yield "header_is_array", file_bytes(b'["a"]   ')
    yield "header_starts_with_space", file_bytes(b" {}     ")
    yield "header_cut", file_bytes(b'{"a":{"dtype":"F32","shape":[1],"data_')
    yield "header_two_objects", file_bytes(b"{} {}   ")
    yield "header_zero_byte", file_bytes(b"{}\0\0\0\0\0\0")
    yield "header_not_utf8", file_bytes(b'{"a\xff":{}}')
    yield "nested_arrays", file_bytes(b'{"a":' + b"[" * 3000)
    yield "nested_objects", file_bytes(b'{"a":' * 600)
    yield "nested_in_shape", raw_entry(shape="[" * 2000)
    yield "duplicate_tensor", file_bytes(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', four
    )
    yield "duplicate_metadata", file_bytes(b'{"__metadata__":{"a":"b"},"__metadata__":{}}')
    yield "duplicate_metadata_key", file_bytes(b'{"__metadata__":{"a":"b","a":"b"}}')
    yield "duplicate_dtype", raw_entry(extra=',"dtype":"F32"')
    yield "metadata_number", file_bytes({"__metadata__": {"a": 1}})
    yield "metadata_nested", file_bytes({"__metadata__": {"a": {"b": "c"}}})
    yield "metadata_null", file_bytes({"__metadata__": None})
    yield "tensor_is_number", file_bytes({"a": 3})
    yield "tensor_unknown_key", raw_entry(extra=',"stride":[1]')
    yield "tensor_no_shape", file_bytes({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, four)
    yield "dtype_unknown", raw_entry(dtype='"F31"')
    yield "dtype_number", raw_entry(dtype="32")
    yield "shape_negative", raw_entry(shape="[-1]")
    yield "shape_fraction", raw_entry(shape="[1.0]")
    yield "shape_beyond_64_bits", raw_entry(shape="[18446744073709551617]")
    yield "shape_beyond_63_bits", raw_entry(shape="[9223372036854775808]")
    yield "shape_product_overflows", raw_entry(shape="[4294967296,4294967296,2]")
    yield "shape_product_wraps_to_size", raw_entry(shape="[4611686018427387905]")
    yield "offsets_one", raw_entry(offsets="[0]")
    yield "offsets_three", raw_entry(offsets="[0,4,4]")
    yield "offsets_negative", raw_entry(offsets="[-4,0]")
    yield "offsets_backwards", raw_entry(offsets="[4,0]")
    yield "offsets_beyond_file", raw_entry(offsets="[0,8]", shape="[2]")
    yield "offsets_huge", raw_entry(offsets="[18446744073709551612,18446744073709551615]")
    yield "size_mismatch", raw_entry(shape="[2]")
    yield "overlap", file_bytes({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12))
    yield "same_place", file_bytes({"a": ok, "b": ok}, four)
    yield "empty_inside_another", file_bytes({"a": ok, "b": entry("F32", [0], 2, 2)}, four)
    yield "hole_at_start", file_bytes({"a": entry("F32", [1], 4, 8)}, bytes(8))
    yield "hole_between", file_bytes({"a": ok, "b": entry("F32", [1], 8, 12)}, bytes(12))
    yield "trailing_bytes", file_bytes({"a": ok}, bytes(5))
    yield "name_breaks_lines", file_bytes({"a\nb\x7f" + "c" * 300: entry("F32", [2], 0, 4)}, four)


METADATA = {
    "format": "vbp-calibration",
    "version": "1",
    "model": "00112233445566778899aabbccddeeff",
    "model_name": "tiny",
    "preprocessing": "size 8",
    "blocks": '["b","a"]',
    "moments": "variance",
}


def doubles(*values):
    return struct.pack("<%dd" % len(values), *values)


def calibration_file(metadata={}, tensors={}):
    """Two blocks of widths 2 and 3, two images with three samples each; None removes an entry."""
    parts = {
        "b.mean": ("F64", [2], doubles(0.5, -1.0)),
        "b.m2": ("F64", [2], doubles(0.0, 4.0)),
        "b.count": ("I64", [1], struct.pack("<q", 6)),
        "a.mean": ("F64", [3], doubles(1.0, 2.0, 3.0)),
        "a.m2": ("F64", [3], doubles(1.0, 1.0, 1.0)),
        "a.count": ("I64", [1], struct.pack("<q", 6)),
        "images": ("U8", [2, 16], bytes(range(32))),
    }
    parts.update(tensors)
    merged = {**METADATA, **metadata}
    header = {"__metadata__": {key: value for key, value in merged.items() if value is not None}}
    data = b""
    for name, part in parts.items():
        if part is not None:
            dtype, shape, content = part
            header[name] = entry(dtype, shape, len(data), len(data) + len(content))
            data += content
    return file_bytes(header, data)


def count(value):
    return ("I64", [1], struct.pack("<q", value))


def covariances(**tensors):
    """The moments "variance,covariance" of two samples each side of the mean, features independent."""
    moments = {
        "b.shift": ("F32", [2], struct.pack("<2f", 0.5, -1.0)),
        "b.sum": ("F64", [2], doubles(0, 0)),
        "b.products": ("F64", [3], doubles(0, 0, 4)),
        "a.shift": ("F32", [3], struct.pack("<3f", 1, 2, 2)),
        "a.sum": ("F64", [3], doubles(0, 0, 6)),
        "a.products": ("F64", [6], doubles(1, 0, 0, 1, 0, 7)),
    }
    moments.update({name.replace("_", "."): tensor for name, tensor in tensors.items()})
    return calibration_file({"moments": "variance,covariance"}, moments)


def calibration():
    nan, infinity = float("nan"), float("inf")
    yield "valid", calibration_file()
    yield "valid_no_images", calibration_file(
        tensors={
            "b.mean": ("F64", [2], doubles(0, 0)),
            "b.m2": ("F64", [2], doubles(0, 0)),
            "b.count": count(0),
            "a.mean": ("F64", [3], doubles(0, 0, 0)),
            "a.m2": ("F64", [3], doubles(0, 0, 0)),
            "a.count": count(0),
            "images": ("U8", [0, 16], b""),
        }
    )
    yield "valid_further_metadata", calibration_file({"remark": "of no consequence"})
    yield "empty", b""
    yield "cut", calibration_file()[:-1]
    yield "other_format", calibration_file({"format": "pt"})
    yield "no_metadata", file_bytes({})
    yield "version_2", calibration_file({"version": "2"})
    yield "version_missing", calibration_file({"version": None})
    yield "moments_unknown", calibration_file({"moments": "variance,kurtosis"})
    yield "moments_missing", calibration_file({"moments": None})
    yield "valid_covariance", covariances()
    yield "covariance_missing", covariances(a_shift=None)
    yield "covariance_not_announced", calibration_file(tensors={"a.products": ("F64", [6], doubles(1, 0, 0, 1, 0, 1))})
    yield "products_short", covariances(a_products=("F64", [5], doubles(1, 0, 0, 1, 0)))
    yield "products_nan", covariances(a_products=("F64", [6], doubles(1, 0, nan, 1, 0, 7)))
    yield "shift_double", covariances(a_shift=("F64", [3], doubles(1, 2, 2)))
    yield "shift_other_width", covariances(a_shift=("F32", [2], bytes(8)), a_products=("F64", [3], doubles(1, 0, 1)))
    yield "model_short", calibration_file({"model": "0011"})
    yield "model_not_hex", calibration_file({"model": "g" * 32})
    yield "preprocessing_missing", calibration_file({"preprocessing": None})
    yield "blocks_not_json", calibration_file({"blocks": "b,a"})
    yield "blocks_object", calibration_file({"blocks": '{"b":"a"}'})
    yield "blocks_numbers", calibration_file({"blocks": "[1,2]"})
    yield "blocks_string", calibration_file({"blocks": '"b"'})
    yield "blocks_nested", calibration_file({"blocks": "[" * 2000})
    yield "blocks_none", calibration_file({"blocks": "[]"})
    yield "blocks_twice", calibration_file({"blocks": '["b","a","b"]'})
    yield "blocks_unnamed", calibration_file({"blocks": '["b",""]'})
    yield "block_without_tensors", calibration_file({"blocks": '["b","a","c"]'})
    yield "block_not_listed", calibration_file({"blocks": '["b"]'})
    yield "further_moment", calibration_file(tensors={"a.m3": ("F64", [3], doubles(0, 0, 0))})
    yield "mean_missing", calibration_file(tensors={"a.mean": None})
    yield "mean_nan", calibration_file(tensors={"a.mean": ("F64", [3], doubles(1, nan, 3))})
    yield "mean_infinite", calibration_file(tensors={"a.mean": ("F64", [3], doubles(1, 2, infinity))})
    yield "mean_single_precision", calibration_file(tensors={"a.mean": ("F32", [3], bytes(12))})
    yield "mean_matrix", calibration_file(tensors={"a.mean": ("F64", [3, 1], doubles(1, 2, 3))})
    yield "mean_no_features", calibration_file(tensors={"a.mean": ("F64", [0], b""), "a.m2": ("F64", [0], b"")})
    yield "m2_negative", calibration_file(tensors={"b.m2": ("F64", [2], doubles(-1e-300, 1))})
    yield "m2_nan", calibration_file(tensors={"b.m2": ("F64", [2], doubles(nan, 1))})
    yield "m2_other_width", calibration_file(tensors={"b.m2": ("F64", [3], doubles(1, 1, 1))})
    yield "count_negative", calibration_file(tensors={"a.count": count(-6)})
    yield "count_smallest", calibration_file(tensors={"a.count": count(-(2**63))})
    yield "count_zero", calibration_file(tensors={"a.count": count(0)})
    yield "count_no_multiple", calibration_file(tensors={"a.count": count(7)})
    yield "count_two", calibration_file(tensors={"a.count": ("I64", [2], struct.pack("<qq", 6, 6))})
    yield "count_real", calibration_file(tensors={"a.count": ("F64", [1], doubles(6))})
    yield "images_missing", calibration_file(tensors={"images": None})
    yield "images_twice", calibration_file(tensors={"images": ("U8", [2, 16], bytes(range(16)) * 2)})
    yield "images_narrow", calibration_file(tensors={"images": ("U8", [4, 8], bytes(32))})
    yield "images_none", calibration_file(tensors={"images": ("U8", [0, 16], b"")})


def main():
    for kind in (safetensors, calibration):
        folder = CORPUS / kind.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.safetensors"):
            old.unlink()
        for name, content in kind():
            assert len(content) < 4096, name
            (folder / (name + ".safetensors")).write_bytes(content)


if __name__ == "__main__":
    main()
