#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "vbp/core/message.hpp"
#include "vbp/io/safetensors.hpp"

namespace vbp::inline VBP_ABI::io {

namespace detail {

VBP_FUNCTION std::string name_text(std::string_view name) {
  constexpr std::size_t kLongest = 240;
  std::string text = "\"";
  for (const char c : name.substr(0, kLongest))
    text += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  return text + (name.size() > kLongest ? "...\"" : "\"");
}

VBP_FUNCTION std::string shape_text(std::span<const Index> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

/// Bytes of a tensor, or nothing if they are more than an Index can count.
VBP_FUNCTION std::optional<std::uint64_t> byte_count(Dtype dtype, std::span<const Index> shape) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<Index>::max());
  auto bytes = static_cast<std::uint64_t>(dtype_size(dtype));
  for (const Index length : shape) {
    const auto factor = static_cast<std::uint64_t>(length);
    if (factor != 0 && bytes > kMost / factor) return std::nullopt;
    bytes *= factor;
  }
  return bytes;
}

template <class Stored, class T, class Convert>
void convert_elements(std::span<const std::byte> data, T* out, Convert convert) {
  const std::size_t count = data.size() / sizeof(Stored);
  for (std::size_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, data.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = static_cast<T>(convert(value));
  }
}

template <class T>
void convert_floating(const TensorView& view, T* out) {
  const auto same = [](auto value) { return value; };
  switch (view.dtype) {
    case Dtype::F16:
      return convert_elements<std::uint16_t>(view.data, out, float_from_f16);
    case Dtype::BF16:
      return convert_elements<std::uint16_t>(view.data, out, float_from_bf16);
    case Dtype::F32:
      return convert_elements<float>(view.data, out, same);
    case Dtype::F64:
      return convert_elements<double>(view.data, out, same);
    default:
      throw_value_error({dtype_name(view.dtype), " is not a floating point type"});
  }
}

VBP_FUNCTION void convert_to(const TensorView& view, float* out) {
  convert_floating(view, out);
}
VBP_FUNCTION void convert_to(const TensorView& view, double* out) {
  convert_floating(view, out);
}

/// What the header says about one tensor.
struct HeaderEntry {
  std::optional<Dtype> dtype;
  std::optional<std::vector<Index>> shape;
  std::optional<std::vector<std::uint64_t>> offsets;
};

/// What the header says about all tensors, and its metadata.
struct HeaderEntries {
  std::map<std::string, HeaderEntry, std::less<>> entries;
  Metadata metadata;
};

/// Reads the header event by event: it never recurses, builds no tree, and stops at the first thing that
/// the format does not allow, so that depth and size of a hostile header cost nothing. Json is
/// nlohmann::json; a template, so that it is compiled only where it is used.
template <class Json>
class HeaderParser final : public nlohmann::json_sax<Json> {
 public:
  using string_t = typename Json::string_t;
  using number_integer_t = typename Json::number_integer_t;
  using number_unsigned_t = typename Json::number_unsigned_t;
  using number_float_t = typename Json::number_float_t;
  using binary_t = typename Json::binary_t;

  HeaderParser(const std::string& path, HeaderEntries& header)
      : path_(path), entries_(header.entries), metadata_(header.metadata) {}

  bool key(string_t& name) override {
    key_ = name;
    switch (at_) {
      case At::top:
        if (name == "__metadata__" ? std::exchange(has_metadata_, true) : entries_.contains(name)) {
          fail(name_text(name) + " appears twice in the header");
        }
        tensor_ = name;
        break;
      case At::metadata:
        if (metadata_.contains(name)) fail("metadata key " + name_text(name) + " appears twice");
        break;
      default: {
        const HeaderEntry& entry = *entry_;
        if (name != "dtype" && name != "shape" && name != "data_offsets") {
          fail_tensor("has an unknown key " + name_text(name));
        }
        if ((name == "dtype" && entry.dtype) || (name == "shape" && entry.shape) ||
            (name == "data_offsets" && entry.offsets)) {
          fail_tensor(name + " appears twice");
        }
      }
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (at_ == At::start) {
      at_ = At::top;
    } else if (at_ == At::top && key_ == "__metadata__") {
      at_ = At::metadata;
    } else if (at_ == At::top) {
      entry_ = &entries_[tensor_];
      at_ = At::tensor;
    } else {
      refuse();
    }
    return true;
  }

  bool end_object() override {
    if (at_ == At::tensor) {
      if (!entry_->dtype) fail_tensor("has no dtype");
      if (!entry_->shape) fail_tensor("has no shape");
      if (!entry_->offsets) fail_tensor("has no data_offsets");
    }
    at_ = At::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (at_ != At::tensor || key_ == "dtype") refuse();
    if (key_ == "shape") {
      at_ = At::shape;
      entry_->shape.emplace();
    } else {
      at_ = At::offsets;
      entry_->offsets.emplace();
    }
    return true;
  }

  bool end_array() override {
    if (at_ == At::offsets && entry_->offsets->size() != 2) refuse();
    at_ = At::tensor;
    return true;
  }

  bool string(string_t& text) override {
    if (at_ == At::metadata) {
      metadata_.emplace(key_, text);
      return true;
    }
    if (at_ != At::tensor || key_ != "dtype") refuse();
    for (const NamedDtype& known : kDtypes) {
      if (known.name == text) entry_->dtype = known.dtype;
    }
    if (!entry_->dtype) fail_tensor("has an unknown dtype " + name_text(text));
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (at_ == At::shape) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<Index>::max())) refuse();
      entry_->shape->push_back(static_cast<Index>(value));
    } else if (at_ == At::offsets) {
      if (entry_->offsets->size() == 2) refuse();
      entry_->offsets->push_back(value);
    } else {
      refuse();
    }
    return true;
  }

  bool null() override { return refuse(); }
  bool boolean(bool) override { return refuse(); }
  bool number_integer(number_integer_t) override { return refuse(); }
  bool number_float(number_float_t, const string_t&) override { return refuse(); }
  bool binary(binary_t&) override { return refuse(); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    throw_file_error(path_, {"the header is not valid JSON at its byte ", position});
  }

 private:
  enum class At { start, top, metadata, tensor, shape, offsets };

  [[noreturn]] void fail(const std::string& reason) const { throw_file_error(path_, {reason}); }
  [[noreturn]] void fail_tensor(const std::string& reason) const {
    fail("tensor " + name_text(tensor_) + ": " + reason);
  }

  /// Throws for a value of a kind that the format does not allow here.
  [[noreturn]] bool refuse() const { throw_file_error(path_, {refusal()}); }
  std::string refusal() const {
    if (at_ == At::start) return "the header is not a JSON object";
    if (at_ == At::metadata) return "metadata " + name_text(key_) + " is not a string";
    if (at_ == At::top && key_ == "__metadata__") return "the metadata is not a JSON object";
    const std::string tensor = "tensor " + name_text(tensor_) + ": ";
    if (at_ == At::top) return tensor + "is not described by a JSON object";
    if (key_ == "dtype") return tensor + "dtype is not a string";
    if (key_ == "shape") return tensor + "shape is not a list of non-negative integers";
    return tensor + "data_offsets is not a pair of non-negative integers";
  }

  const std::string& path_;
  std::map<std::string, HeaderEntry, std::less<>>& entries_;
  Metadata& metadata_;
  At at_ = At::start;
  bool has_metadata_ = false;
  std::string key_;
  std::string tensor_;
  HeaderEntry* entry_ = nullptr;
};

template <class Json>
void parse_header(std::string_view header, const std::string& path, HeaderEntries& entries) {
  HeaderParser<Json> parser(path, entries);
  Json::sax_parse(header.begin(), header.end(), &parser);
}

/// The text as a JSON string.
template <class Json>
std::string json_text(const std::string& text) {
  try {
    return Json(text).dump();
  } catch (const typename Json::exception&) {
    throw_value_error({"the text ", name_text(text), " is not valid UTF-8"});
  }
}

/// The limit of the format's own reader.
inline constexpr std::uint64_t kMostHeaderBytes = 100'000'000;

/// Whether the first dimensions multiply to `rows` and the others to `cols`.
VBP_FUNCTION bool splits_into(std::span<const Index> shape, Index rows, Index cols) {
  const auto product = [](std::span<const Index> lengths) {
    Index result = 1;
    for (const Index length : lengths) {
      // A tensor without elements may have lengths whose product is beyond any integer.
      if (length == 0) return Index{0};
      if (result > std::numeric_limits<Index>::max() / length) return Index{-1};
      result *= length;
    }
    return result;
  };
  for (std::size_t split = 0; split <= shape.size(); ++split) {
    if (product(shape.first(split)) == rows && product(shape.subspan(split)) == cols) return true;
  }
  return false;
}

}  // namespace detail

VBP_FUNCTION SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(path), path_(path.string()) {
  parse(file_->bytes());
}

VBP_FUNCTION SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, std::string path)
    : path_(std::move(path)) {
  parse(bytes);
}

VBP_FUNCTION SafetensorsFile SafetensorsFile::from_bytes(std::span<const std::byte> bytes, std::string path) {
  return SafetensorsFile(bytes, std::move(path));
}

VBP_FUNCTION std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> result;
  result.reserve(tensors_.size());
  for (const auto& [name, view] : tensors_) result.push_back(name);
  return result;
}

VBP_FUNCTION bool SafetensorsFile::contains(std::string_view name) const {
  return tensors_.contains(name);
}

VBP_FUNCTION const TensorView* SafetensorsFile::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

VBP_FUNCTION const TensorView& SafetensorsFile::tensor(std::string_view name) const {
  const TensorView* view = find(name);
  if (!view) throw_file_error(path_, {"has no tensor ", detail::name_text(name)});
  return *view;
}

VBP_FUNCTION [[noreturn]] void SafetensorsFile::fail(const std::string& reason) const {
  throw_file_error(path_, {reason});
}

VBP_FUNCTION [[noreturn]] void SafetensorsFile::fail(std::string_view tensor,
                                                     const std::string& reason) const {
  fail("tensor " + detail::name_text(tensor) + ": " + reason);
}

VBP_FUNCTION [[noreturn]] void SafetensorsFile::refuse_dtype(std::string_view name, const TensorView& view,
                                                             std::string_view wanted) const {
  fail(name, "is of type " + std::string(dtype_name(view.dtype)) + ", not " + std::string(wanted));
}

VBP_FUNCTION [[noreturn]] void SafetensorsFile::refuse_shape(std::string_view name, const TensorView& view,
                                                             std::span<const Index> wanted) const {
  fail(name,
       "has shape " + detail::shape_text(view.shape) + " where " + detail::shape_text(wanted) + " is needed");
}

VBP_FUNCTION const TensorView& SafetensorsFile::floating_tensor(std::string_view name) const {
  const TensorView& view = tensor(name);
  if (!is_floating_point(view.dtype)) refuse_dtype(name, view, "floating point");
  return view;
}

VBP_FUNCTION const TensorView& SafetensorsFile::vector_tensor(std::string_view name, Index size) const {
  const TensorView& view = floating_tensor(name);
  const Index wanted[] = {size};
  const auto longer =
      std::count_if(view.shape.begin(), view.shape.end(), [](Index length) { return length != 1; });
  if (view.size() != size || longer > 1) refuse_shape(name, view, wanted);
  return view;
}

VBP_FUNCTION const TensorView& SafetensorsFile::matrix_tensor(std::string_view name, Index rows,
                                                              Index cols) const {
  const TensorView& view = floating_tensor(name);
  const Index wanted[] = {rows, cols};
  if (!detail::splits_into(view.shape, rows, cols)) refuse_shape(name, view, wanted);
  return view;
}

VBP_FUNCTION const TensorView& SafetensorsFile::tensor_of_type(std::string_view name, Dtype dtype) const {
  const TensorView& view = tensor(name);
  if (view.dtype != dtype && !(view.dtype == Dtype::BOOL && dtype == Dtype::U8)) {
    refuse_dtype(name, view, dtype_name(dtype));
  }
  return view;
}

VBP_FUNCTION void SafetensorsFile::copy_bytes(const TensorView& view, void* out) {
  // Neither pointer may be null for memcpy, even where there is nothing to copy.
  if (!view.data.empty()) std::memcpy(out, view.data.data(), view.data.size());
}

VBP_FUNCTION void SafetensorsFile::parse(std::span<const std::byte> bytes) {
  std::uint64_t header_bytes = 0;
  if (bytes.size() < sizeof(header_bytes)) fail("is too short to be a safetensors file");
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  bytes = bytes.subspan(sizeof(header_bytes));
  // A file of another format has an arbitrary length here, so that this is the first check.
  if (header_bytes > bytes.size()) {
    fail("is cut short or no safetensors file: a header of " + std::to_string(header_bytes) +
         " bytes ends behind the file's end");
  }
  if (header_bytes > detail::kMostHeaderBytes) {
    fail("a header of " + std::to_string(header_bytes) + " bytes is over the format's limit of 100 MB");
  }
  const auto* const begin = reinterpret_cast<const char*>(bytes.data());
  const std::string_view header(begin, static_cast<std::size_t>(header_bytes));
  if (!header.starts_with('{')) fail("the header is not a JSON object");
  // The JSON library takes a zero byte for the end of its input.
  if (const std::size_t zero = header.find('\0'); zero != std::string_view::npos) {
    fail("the header is not valid JSON at its byte " + std::to_string(zero + 1));
  }
  detail::HeaderEntries entries;
  detail::parse_header<nlohmann::json>(header, path_, entries);
  metadata_ = std::move(entries.metadata);
  place(entries, bytes.subspan(static_cast<std::size_t>(header_bytes)));
}

VBP_FUNCTION void SafetensorsFile::place(detail::HeaderEntries& header, std::span<const std::byte> data) {
  std::vector<DataPiece> pieces;
  pieces.reserve(header.entries.size());
  for (auto& [name, entry] : header.entries) {
    const std::uint64_t begin = (*entry.offsets)[0];
    const std::uint64_t end = (*entry.offsets)[1];
    if (begin > end) fail(name, "its data ends before it begins");
    if (end > data.size()) {
      fail(name, "its data ends at byte " + std::to_string(end) + " of " + std::to_string(data.size()));
    }
    const auto wanted = detail::byte_count(*entry.dtype, *entry.shape);
    if (!wanted) fail(name, "the shape " + detail::shape_text(*entry.shape) + " is too large");
    if (*wanted != end - begin) {
      fail(name, detail::shape_text(*entry.shape) + " of " + std::string(dtype_name(*entry.dtype)) + " are " +
                     std::to_string(*wanted) + " bytes, its data is " + std::to_string(end - begin));
    }
    const auto place = tensors_.emplace_hint(
        tensors_.end(), name,
        TensorView{*entry.dtype, std::move(*entry.shape),
                   data.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin))});
    pieces.push_back({begin, end, &place->first});
  }
  require_covered(std::move(pieces), data.size());
}

VBP_FUNCTION void SafetensorsFile::require_covered(std::vector<DataPiece> pieces, std::uint64_t bytes) const {
  std::sort(pieces.begin(), pieces.end(), [](const DataPiece& a, const DataPiece& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t covered = 0;
  for (const DataPiece& piece : pieces) {
    if (piece.begin < covered) fail(*piece.name, "its data overlaps another tensor's");
    if (piece.begin > covered) {
      fail(*piece.name, "a hole of " + std::to_string(piece.begin - covered) + " bytes lies before its data");
    }
    covered = piece.end;
  }
  if (covered != bytes) {
    fail(std::to_string(bytes - covered) + " bytes behind the last tensor belong to none");
  }
}

VBP_FUNCTION std::string safetensors_header(std::span<const NamedTensor> tensors, const Metadata& metadata) {
  const auto json_text = [](const std::string& text) { return detail::json_text<nlohmann::json>(text); };
  std::string header;
  const auto begin_entry = [&](const std::string& name) {
    header += (header.empty() ? '{' : ',') + json_text(name) + ":{";
  };
  if (!metadata.empty()) {
    begin_entry("__metadata__");
    for (const auto& [key, text] : metadata) header += json_text(key) + ':' + json_text(text) + ',';
    header.back() = '}';
  }
  std::set<std::string_view> seen;
  std::uint64_t offset = 0;
  for (const NamedTensor& tensor : tensors) {
    const std::string& name = tensor.name;
    const TensorView& view = tensor.view;
    const std::uint64_t bytes = tensor.bytes();
    if (name.empty()) throw_value_error({"a tensor has no name"});
    if (name == "__metadata__") throw_value_error({"a tensor must not be named __metadata__"});
    if (!seen.insert(name).second) throw_value_error({"two tensors are named ", detail::name_text(name)});
    const bool negative = std::any_of(view.shape.begin(), view.shape.end(), [](Index n) { return n < 0; });
    if (negative || detail::byte_count(view.dtype, view.shape) != bytes) {
      throw_value_error({"tensor ", detail::name_text(name), ": ", bytes, " bytes do not fit the shape ",
                         detail::shape_text(view.shape), " of ", dtype_name(view.dtype)});
    }
    begin_entry(name);
    header += "\"dtype\":\"" + std::string(dtype_name(view.dtype)) + "\",\"shape\":[";
    for (const Index length : view.shape) header += std::to_string(length) + ',';
    if (!view.shape.empty()) header.pop_back();
    header += "],\"data_offsets\":[" + std::to_string(offset) + ',';
    offset += bytes;
    header += std::to_string(offset) + "]}";
  }
  header += header.empty() ? "{}" : "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  if (header.size() > detail::kMostHeaderBytes) {
    throw_value_error({"a header of ", header.size(), " bytes is over the limit of 100 MB"});
  }
  std::string length(sizeof(std::uint64_t), '\0');
  const std::uint64_t size = header.size();
  std::memcpy(length.data(), &size, sizeof(size));
  return length + header;
}

VBP_FUNCTION void write_safetensors(AtomicFile& file, std::span<const NamedTensor> tensors,
                                    const Metadata& metadata) {
  file.write(safetensors_header(tensors, metadata));
  for (const NamedTensor& tensor : tensors) {
    file.write(tensor.view.data);
    for (const auto& piece : tensor.rest) file.write(piece);
  }
}

VBP_FUNCTION void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                                    const Metadata& metadata) {
  AtomicFile file(path);
  write_safetensors(file, tensors, metadata);
  file.commit();
}

VBP_FUNCTION void SafetensorsWriter::write(AtomicFile& file, const Metadata& metadata) const {
  write_safetensors(file, tensors_, metadata);
}

VBP_FUNCTION void SafetensorsWriter::write(const std::filesystem::path& path,
                                           const Metadata& metadata) const {
  write_safetensors(path, tensors_, metadata);
}

}  // namespace vbp::inline VBP_ABI::io
